#include "chat_template/interpreter.h"

#include "base/utf8.h"
#include "chat_template/context.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"

namespace lotse::jinja {

constexpr size_t kMaxMessageBytes = 2000;  // of an error: it may show text of the context

// Runs a frame; one that a macro has captured lives on until the interpreter ends.
class Interpreter::FrameScope {
 public:
  FrameScope(Interpreter& interpreter, Frame* outer)
      : interpreter_(interpreter), frame_(std::make_unique<Frame>()) {
    frame_->outer = outer;
  }
  ~FrameScope() {
    if (frame_->captured) interpreter_.captured_frames_.push_back(std::move(frame_));
  }
  FrameScope(const FrameScope&) = delete;
  FrameScope& operator=(const FrameScope&) = delete;

  Frame& frame() { return *frame_; }

 private:
  Interpreter& interpreter_;
  std::unique_ptr<Frame> frame_;
};

// Collects what is printed in a text of its own.
class Interpreter::OutputScope {
 public:
  explicit OutputScope(Interpreter& interpreter)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.output_, &text_)) {}
  ~OutputScope() { interpreter_.output_ = outer_; }
  OutputScope(const OutputScope&) = delete;
  OutputScope& operator=(const OutputScope&) = delete;

  Text take() { return std::move(text_); }

 private:
  Interpreter& interpreter_;
  Text* outer_;
  Text text_;
};

Interpreter::Interpreter(const Program& program, const RenderOptions& options)
    : program_(program), options_(options), budget_(options.limits) {}

// Namespaces may hold each other in circles, which would never be freed.
Interpreter::~Interpreter() {
  for (const auto& attributes : namespaces_) attributes->attributes.reset();
}

Result<Text> Interpreter::render(const OrderedJson& context) {
  const auto run_program = [&]() -> Result<Text> {
    context_ = LOTSE_TRY(import_context(budget_, context, options_));
    OutputScope output(*this);
    FrameScope scope(*this, nullptr);
    LOTSE_TRY(enter_frame(scope.frame(), program_.frame));
    LOTSE_TRY(run(scope.frame(), program_.body));
    return output.take();
  };
  auto text = run_program();
  if (text) return text;
  Error error = std::move(text).error();
  if (error.message.size() > kMaxMessageBytes) {
    const std::string_view kept = std::string_view(error.message).substr(0, kMaxMessageBytes);
    error.message = fmt::format("{}…", kept.substr(0, kept.size() - incomplete_utf8_tail(kept)));
  }
  if (error_line_ == 0) return fail(error.code, "{}: {}", program_.origin, error.message);
  return fail(error.code, "{}: line {}: {}", program_.origin, error_line_, error.message);
}

void Interpreter::note_error_line(int line) {
  if (error_line_ == 0) error_line_ = line;
}

Value Interpreter::keep_namespace(std::shared_ptr<Namespace> attributes) {
  namespaces_.push_back(attributes);
  return Value::name_space(std::move(attributes));
}

Value& Interpreter::slot(Frame& frame, SlotRef ref) {
  Frame* holder = &frame;
  for (int i = 0; i < ref.hops; ++i) holder = holder->outer;
  return holder->slots[static_cast<size_t>(ref.slot)];
}

// The value of the context or a global; missing when there is neither.
Result<Value> Interpreter::resolve(const std::string& name) const {
  if (const Value* value = context_.as_dict().find(name)) return *value;
  if (name == "range") return Value::function(Function::range);
  if (name == "dict") return Value::function(Function::dict);
  if (name == "namespace") return Value::function(Function::name_space);
  if (name == "raise_exception") return Value::function(Function::raise_exception);
  if (name == "strftime_now") return Value::function(Function::strftime_now);
  if (name == "cycler" || name == "joiner" || name == "lipsum") {
    return fail(ErrorCode::unsupported, "the function '{}' is not supported", name);
  }
  return Value();
}

Result<void> Interpreter::enter_frame(Frame& frame, const FramePlan& plan) {
  frame.slots.resize(static_cast<size_t>(plan.slots));
  for (const Load& load : plan.loads) {
    Value& value = frame.slots[static_cast<size_t>(load.slot)];
    switch (load.kind) {
      case LoadKind::resolve:
        value = LOTSE_TRY(resolve(load.name));
        break;
      case LoadKind::alias:
        value = slot(frame, load.outer);
        break;
      case LoadKind::undefined:
        value = Value();
        break;
      case LoadKind::parameter:
        break;
    }
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run(Frame& frame, const Block& block) {
  for (const StmtPtr& stmt : block) {
    auto flow = budget_.enter();
    if (!flow) {
      note_error_line(stmt->line);
      return std::unexpected(std::move(flow).error());
    }
    const DepthScope scope(budget_);
    auto result = run(frame, *stmt);
    if (!result) note_error_line(stmt->line);
    if (!result || *result != Flow::normal) return result;
  }
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::run(Frame& frame, const Stmt& stmt) {
  LOTSE_TRY(budget_.step());
  switch (stmt.kind) {
    case StmtKind::output:
      LOTSE_TRY(run_output(frame, static_cast<const OutputStmt&>(stmt)));
      return Flow::normal;
    case StmtKind::for_loop:
      return run_for(frame, static_cast<const ForStmt&>(stmt));
    case StmtKind::if_chain:
      return run_if(frame, static_cast<const IfStmt&>(stmt));
    case StmtKind::macro:
      LOTSE_TRY(run_macro(frame, static_cast<const MacroStmt&>(stmt)));
      return Flow::normal;
    case StmtKind::call_block:
      LOTSE_TRY(run_call_block(frame, static_cast<const CallBlockStmt&>(stmt)));
      return Flow::normal;
    case StmtKind::filter_block:
      return run_filter_block(frame, static_cast<const FilterBlockStmt&>(stmt));
    case StmtKind::with:
      return run_with(frame, static_cast<const WithStmt&>(stmt));
    case StmtKind::set: {
      const auto& set = static_cast<const SetStmt&>(stmt);
      LOTSE_TRY(check_namespaces(frame, *set.target));
      LOTSE_TRY(assign(frame, *set.target, LOTSE_TRY(evaluate(frame, *set.value))));
      return Flow::normal;
    }
    case StmtKind::set_block:
      return run_set_block(frame, static_cast<const SetBlockStmt&>(stmt));
    case StmtKind::break_loop:
      return Flow::break_loop;
    case StmtKind::continue_loop:
      return Flow::continue_loop;
  }
  return Flow::normal;
}

Result<void> Interpreter::write(const Value& value) {
  const Text* text = value.is(Kind::string) ? &value.as_string().text : nullptr;
  Text converted;
  if (text == nullptr) {
    converted = LOTSE_TRY(to_text(budget_, value));
    text = &converted;
  }
  LOTSE_TRY(budget_.grow(static_cast<int64_t>(text->size())));
  LOTSE_TRY(budget_.check_output(output_->size() + text->size()));
  output_->append(*text);
  return {};
}

Result<void> Interpreter::run_output(Frame& frame, const OutputStmt& stmt) {
  for (const ExprPtr& expr : stmt.expressions) {
    auto written = write(LOTSE_TRY(evaluate(frame, *expr)));
    if (!written) note_error_line(expr->line);
    LOTSE_TRY(std::move(written));
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run_if(Frame& frame, const IfStmt& stmt) {
  for (const IfStmt::Branch& branch : stmt.branches) {
    if (is_true(LOTSE_TRY(evaluate(frame, *branch.test)))) return run(frame, branch.body);
  }
  return run(frame, stmt.otherwise);
}

namespace {

// Keeps a frame and those around it for a macro that may be called after they have ended.
void capture(Frame& frame) {
  for (Frame* f = &frame; f != nullptr; f = f->outer) f->captured = true;
}

// Ends a loop's state, whatever way the loop is left, so that it holds nothing any more.
class LoopScope {
 public:
  explicit LoopScope(std::shared_ptr<LoopState> state) : state_(std::move(state)) {}
  ~LoopScope() {
    state_->find_next = nullptr;
    state_->last_changed = Value();
    state_->ended = true;
  }
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;

 private:
  std::shared_ptr<LoopState> state_;
};

// Whether the loop has an item at `index`, finding it if need be.
Result<bool> has_item(LoopState& state, size_t index) {
  while (index >= state.items.size()) {
    if (!state.find_next || !LOTSE_TRY(state.find_next())) return false;
  }
  return true;
}

}  // namespace

Result<Interpreter::Flow> Interpreter::run_for(Frame& frame, const ForStmt& stmt) {
  const Value iterable = LOTSE_TRY(evaluate(frame, *stmt.iterable));
  auto state = std::make_shared<LoopState>();
  const LoopScope loop_scope(state);
  state->depth = iterable.depth() + 1;
  std::vector<Value> items = LOTSE_TRY(iterate(budget_, iterable));

  FrameScope filter_scope(*this, &frame);
  Frame& filter_frame = filter_scope.frame();
  size_t source_position = 0;
  if (stmt.filter == nullptr) {
    state->items = std::move(items);
  } else {
    LOTSE_TRY(enter_frame(filter_frame, stmt.filter_frame));
    state->find_next = [&, raw = state.get()]() -> Result<bool> {
      while (source_position < items.size()) {
        LOTSE_TRY(budget_.step());
        Value item = items[source_position++];
        LOTSE_TRY(assign(filter_frame, *stmt.filter_target, item));
        if (!is_true(LOTSE_TRY(evaluate(filter_frame, *stmt.filter)))) continue;
        raw->items.push_back(std::move(item));
        return true;
      }
      return false;
    };
  }

  FrameScope body_scope(*this, &frame);
  Frame& body = body_scope.frame();
  body.slots.resize(static_cast<size_t>(stmt.body_frame.slots));
  // As in Jinja2, the else branch runs unless an iteration has come to the end of the body.
  bool completed = false;
  for (size_t index = 0; LOTSE_TRY(has_item(*state, index)); ++index) {
    LOTSE_TRY(budget_.step());
    state->index = index;
    if (stmt.loop_slot >= 0) {
      body.slots[static_cast<size_t>(stmt.loop_slot)] = Value::loop(state);
    }
    LOTSE_TRY(assign(body, *stmt.target, state->items[index]));
    LOTSE_TRY(enter_frame(body, stmt.body_frame));
    const Flow flow = LOTSE_TRY(run(body, stmt.body));
    if (flow == Flow::break_loop) break;
    completed |= flow == Flow::normal;
  }
  if (completed || stmt.otherwise.empty()) return Flow::normal;
  FrameScope otherwise(*this, &frame);
  LOTSE_TRY(enter_frame(otherwise.frame(), stmt.otherwise_frame));
  return run(otherwise.frame(), stmt.otherwise);
}

Result<void> Interpreter::run_macro(Frame& frame, const MacroStmt& stmt) {
  capture(frame);
  LOTSE_TRY(budget_.grow(128));
  return assign(frame, *stmt.name_target, Value::macro({&stmt, &frame}));
}

Result<void> Interpreter::run_call_block(Frame& frame, const CallBlockStmt& stmt) {
  capture(frame);
  LOTSE_TRY(budget_.grow(128));
  const Value callee = LOTSE_TRY(evaluate(frame, *stmt.call->children.front()));
  Arguments arguments = LOTSE_TRY(evaluate_arguments(frame, *stmt.call->arguments));
  arguments.named.emplace_back("caller", Value::macro({stmt.caller.get(), &frame}));
  return write(LOTSE_TRY(call(callee, std::move(arguments))));
}

Result<Value> Interpreter::call_macro(const Macro& macro, Arguments arguments) {
  const MacroStmt& definition = *macro.definition;
  FrameScope scope(*this, macro.closure);
  Frame& frame = scope.frame();
  LOTSE_TRY(enter_frame(frame, definition.frame));
  LOTSE_TRY(bind_parameters(frame, definition, arguments));
  const size_t without_default = definition.parameters.size() - definition.defaults.size();
  for (size_t i = 0; i < definition.parameters.size(); ++i) {
    const Expr& parameter = *definition.parameters[i];
    if (!slot(frame, parameter.ref).is(Kind::missing)) continue;
    slot(frame, parameter.ref) =
        i < without_default
            ? Value::undefined(fmt::format("parameter '{}' was not provided", parameter.text))
            : LOTSE_TRY(evaluate(frame, *definition.defaults[i - without_default]));
  }
  OutputScope output(*this);
  LOTSE_TRY(run(frame, definition.body));
  return Value::string(output.take());
}

Result<Interpreter::Flow> Interpreter::run_filter_block(Frame& frame, const FilterBlockStmt& stmt) {
  FrameScope scope(*this, &frame);
  LOTSE_TRY(enter_frame(scope.frame(), stmt.frame));
  Text text;
  {
    OutputScope output(*this);
    const Flow flow = LOTSE_TRY(run(scope.frame(), stmt.body));
    if (flow != Flow::normal) return flow;
    text = output.take();
  }
  Value input = Value::string(std::move(text));
  LOTSE_TRY(write(LOTSE_TRY(filter_block_text(scope.frame(), *stmt.filter, std::move(input)))));
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::run_with(Frame& frame, const WithStmt& stmt) {
  FrameScope scope(*this, &frame);
  LOTSE_TRY(enter_frame(scope.frame(), stmt.frame));
  for (size_t i = 0; i < stmt.targets.size(); ++i) {
    Value value = LOTSE_TRY(evaluate(frame, *stmt.values[i]));
    LOTSE_TRY(assign(scope.frame(), *stmt.targets[i], std::move(value)));
  }
  return run(scope.frame(), stmt.body);
}

Result<Interpreter::Flow> Interpreter::run_set_block(Frame& frame, const SetBlockStmt& stmt) {
  LOTSE_TRY(check_namespaces(frame, *stmt.target));
  FrameScope scope(*this, &frame);
  LOTSE_TRY(enter_frame(scope.frame(), stmt.frame));
  Text text;
  {
    OutputScope output(*this);
    const Flow flow = LOTSE_TRY(run(scope.frame(), stmt.body));
    if (flow != Flow::normal) return flow;
    text = output.take();
  }
  Value value = Value::string(std::move(text));
  if (stmt.filter != nullptr) {
    value = LOTSE_TRY(filter_block_text(scope.frame(), *stmt.filter, std::move(value)));
  }
  LOTSE_TRY(assign(frame, *stmt.target, std::move(value)));
  return Flow::normal;
}

Result<void> Interpreter::check_namespaces(Frame& frame, const Expr& target) {
  if (target.kind == ExprKind::namespace_target) {
    const Value holder = slot(frame, target.children.front()->ref);
    if (holder.is(Kind::name_space)) return {};
    return fail(ErrorCode::invalid_input, "cannot assign attribute on non-namespace object");
  }
  if (target.kind != ExprKind::tuple) return {};
  for (const ExprPtr& child : target.children) LOTSE_TRY(check_namespaces(frame, *child));
  return {};
}

Result<void> Interpreter::assign(Frame& frame, const Expr& target, Value value) {
  if (target.kind == ExprKind::name) {
    slot(frame, target.ref) = std::move(value);
    return {};
  }
  if (target.kind == ExprKind::namespace_target) {
    Namespace& holder = slot(frame, target.children.front()->ref).as_namespace();
    if (target.text.starts_with('_')) {
      return fail(ErrorCode::invalid_input, "a namespace cannot have the attribute '{}'",
                  target.text);
    }
    LOTSE_TRY(budget_.grow_items(holder.attributes->size()));
    auto changed = std::make_shared<Dict>(*holder.attributes);
    LOTSE_TRY(changed->set(budget_, Value::string(target.text, true), std::move(value)));
    holder.attributes = std::move(changed);
    return {};
  }
  const std::vector<Value> items = LOTSE_TRY(iterate(budget_, value));
  if (items.size() != target.children.size()) {
    return fail(ErrorCode::invalid_input, "cannot unpack {} values into {} names", items.size(),
                target.children.size());
  }
  for (size_t i = 0; i < items.size(); ++i) {
    LOTSE_TRY(assign(frame, *target.children[i], items[i]));
  }
  return {};
}

}  // namespace lotse::jinja
