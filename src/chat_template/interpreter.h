// Walks a program's tree for one rendering. Filters, tests and methods work through it: it is the
// budget, the attribute access and the calls that they need.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_template/ast.h"
#include "chat_template/budget.h"
#include "chat_template/value.h"

namespace lotse::jinja {

// The variables of one frame while it runs.
struct Frame {
  Frame* outer = nullptr;
  std::vector<Value> slots;
  bool captured = false;  // by a macro, which may be called after the frame has ended
};

// The evaluated arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // Takes a named argument out; missing when absent.
  Value take(std::string_view name);
};

class Interpreter {
 public:
  Interpreter(const Program& program, const RenderOptions& options);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Errors begin with the template's origin and line.
  Result<Text> render(const OrderedJson& context);

  Budget& budget() { return budget_; }
  const RenderOptions& options() const { return options_; }

  // object.name and object[key], as Jinja2's sandbox looks them up: undefined when absent.
  Result<Value> get_attribute(const Value& object, std::string_view name);
  Result<Value> get_item(const Value& object, const Value& key);
  Result<Value> call(const Value& callee, Arguments arguments);
  Result<Value> apply_filter(std::string_view name, Value input, Arguments arguments);
  Result<bool> apply_test(std::string_view name, const Value& input, Arguments arguments);
  Value keep_namespace(std::shared_ptr<Namespace> attributes);

 private:
  enum class Flow { normal, break_loop, continue_loop };
  class FrameScope;
  class OutputScope;

  Result<Value> resolve(const std::string& name) const;
  Result<void> enter_frame(Frame& frame, const FramePlan& plan);
  static Value& slot(Frame& frame, SlotRef ref);

  Result<Flow> run(Frame& frame, const Block& block);
  Result<Flow> run(Frame& frame, const Stmt& stmt);
  Result<void> run_output(Frame& frame, const OutputStmt& stmt);
  Result<Flow> run_for(Frame& frame, const ForStmt& stmt);
  Result<Value> filtered_items(Frame& frame, const ForStmt& stmt, const Value& iterable);
  Result<Flow> run_if(Frame& frame, const IfStmt& stmt);
  Result<void> run_macro(Frame& frame, const MacroStmt& stmt);
  Result<void> run_call_block(Frame& frame, const CallBlockStmt& stmt);
  Result<Flow> run_filter_block(Frame& frame, const FilterBlockStmt& stmt);
  Result<Flow> run_with(Frame& frame, const WithStmt& stmt);
  Result<Flow> run_set_block(Frame& frame, const SetBlockStmt& stmt);
  Result<void> assign(Frame& frame, const Expr& target, Value value);
  Result<void> check_namespaces(Frame& frame, const Expr& target);
  Result<void> write(const Value& value);

  Result<Value> evaluate(Frame& frame, const Expr& expr);
  Result<Value> evaluate_kind(Frame& frame, const Expr& expr);
  Result<Value> evaluate_list(Frame& frame, const Expr& expr);
  Result<Value> evaluate_dict(Frame& frame, const Expr& expr);
  Result<Value> evaluate_conditional(Frame& frame, const Expr& expr);
  Result<Value> evaluate_compare(Frame& frame, const Expr& expr);
  Result<Value> evaluate_concat(Frame& frame, const Expr& expr);
  Result<Value> evaluate_slice(Frame& frame, const Expr& expr);
  // Applies the chain of filters of a filter or set block, whose innermost has no input of its own.
  Result<Value> filter_block_text(Frame& frame, const Expr& filter, Value text);
  Result<Arguments> evaluate_arguments(Frame& frame, const CallArguments& arguments);
  Result<Value> call_macro(const Macro& macro, Arguments arguments);
  Result<void> bind_parameters(Frame& frame, const MacroStmt& macro, Arguments& arguments);
  void note_error_line(int line);

  const Program& program_;
  const RenderOptions& options_;
  Budget budget_;
  Value context_;
  Text* output_ = nullptr;
  int error_line_ = 0;  // of the innermost node that failed
  std::deque<std::unique_ptr<Frame>> captured_frames_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace lotse::jinja
