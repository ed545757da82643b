#include "chat_template/scope.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "chat_template/filters.h"
#include "chat_template/tests.h"

namespace lotse::jinja {
namespace {

// ---- Visiting every name, for questions about a whole subtree

using NameVisitor = std::function<void(const Expr& name)>;

void visit_names(const Expr* expr, const NameVisitor& visit);
void visit_names(const Block& block, const NameVisitor& visit);

void visit_names(const Expr* expr, const NameVisitor& visit) {
  if (expr == nullptr) return;
  if (expr->kind == ExprKind::name) visit(*expr);
  for (const ExprPtr& child : expr->children) visit_names(child.get(), visit);
  if (expr->arguments == nullptr) return;
  for (const ExprPtr& child : expr->arguments->positional) visit_names(child.get(), visit);
  for (const auto& [name, child] : expr->arguments->named) visit_names(child.get(), visit);
  visit_names(expr->arguments->star.get(), visit);
  visit_names(expr->arguments->double_star.get(), visit);
}

void visit_names(const std::vector<ExprPtr>& expressions, const NameVisitor& visit) {
  for (const ExprPtr& expr : expressions) visit_names(expr.get(), visit);
}

void visit_macro_names(const MacroStmt& macro, const NameVisitor& visit) {
  visit_names(macro.defaults, visit);
  visit_names(macro.body, visit);
}

void visit_names(const Stmt& stmt, const NameVisitor& visit) {
  switch (stmt.kind) {
    case StmtKind::output:
      return visit_names(static_cast<const OutputStmt&>(stmt).expressions, visit);
    case StmtKind::for_loop: {
      const auto& loop = static_cast<const ForStmt&>(stmt);
      for (const Expr* expr : {loop.target.get(), loop.iterable.get(), loop.filter.get()}) {
        visit_names(expr, visit);
      }
      visit_names(loop.body, visit);
      return visit_names(loop.otherwise, visit);
    }
    case StmtKind::if_chain: {
      const auto& chain = static_cast<const IfStmt&>(stmt);
      for (const IfStmt::Branch& branch : chain.branches) {
        visit_names(branch.test.get(), visit);
        visit_names(branch.body, visit);
      }
      return visit_names(chain.otherwise, visit);
    }
    case StmtKind::macro:
      return visit_macro_names(static_cast<const MacroStmt&>(stmt), visit);
    case StmtKind::call_block: {
      const auto& block = static_cast<const CallBlockStmt&>(stmt);
      visit_names(block.call.get(), visit);
      return visit_macro_names(*block.caller, visit);
    }
    case StmtKind::filter_block: {
      const auto& block = static_cast<const FilterBlockStmt&>(stmt);
      visit_names(block.body, visit);
      return visit_names(block.filter.get(), visit);
    }
    case StmtKind::with: {
      const auto& with = static_cast<const WithStmt&>(stmt);
      visit_names(with.values, visit);
      return visit_names(with.body, visit);
    }
    case StmtKind::set: {
      const auto& set = static_cast<const SetStmt&>(stmt);
      visit_names(set.target.get(), visit);
      return visit_names(set.value.get(), visit);
    }
    case StmtKind::set_block: {
      const auto& set = static_cast<const SetBlockStmt&>(stmt);
      visit_names(set.target.get(), visit);
      return visit_names(set.body, visit);
    }
    case StmtKind::break_loop:
    case StmtKind::continue_loop:
      return;
  }
}

void visit_names(const Block& block, const NameVisitor& visit) {
  for (const StmtPtr& stmt : block) visit_names(*stmt, visit);
}

// Whether `name` is read in `block` before it is set there.
bool reads_name(const Block& block, std::string_view name) {
  bool read = false;
  bool stored = false;
  visit_names(block, [&](const Expr& expr) {
    if (expr.text != name) return;
    (expr.store ? stored : read) |= expr.store || !stored;
  });
  return read;
}

// ---- The variables of one frame

class Symbols {
 public:
  explicit Symbols(const Symbols* outer) : outer_(outer) {}

  // What a branch of a condition learns beyond `base`, which must stay unchanged meanwhile.
  static Symbols branch(const Symbols& base) {
    Symbols symbols(base.outer_);
    symbols.base_ = &base;
    return symbols;
  }

  void declare_parameter(const std::string& name) {
    stores_.insert(name);
    variables_[name].kind = LoadKind::parameter;
  }
  void store(const std::string& name) {
    if (!is_stored(name)) stores_.insert(name);
    if (has(name)) return;
    variables_[name].kind = outer_has(name) ? LoadKind::alias : LoadKind::undefined;
  }
  void load(const std::string& name) {
    if (!has(name) && !outer_has(name)) variables_[name].kind = LoadKind::resolve;
  }
  // Joins what all the branches of a condition have learnt.
  void join(std::span<const Symbols> branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches) {
      stored.insert(branch.stores_.begin(), branch.stores_.end());
      for (const auto& [name, variable] : branch.variables_) variables_[name] = variable;
    }
    for (const std::string& name : stored) {
      variables_[name].kind = outer_has(name) ? LoadKind::alias : LoadKind::resolve;
    }
    stores_.merge(stored);
  }

  // The variable that `name` means here, once this frame and all outer ones are planned.
  std::optional<SlotRef> find(const std::string& name) const {
    int hops = 0;
    for (const Symbols* frame = this; frame != nullptr; frame = frame->outer_, ++hops) {
      const auto it = frame->variables_.find(name);
      if (it != frame->variables_.end()) return SlotRef{hops, it->second.slot};
    }
    return std::nullopt;
  }

  // Numbers the variables of a complete frame.
  FramePlan plan() {
    FramePlan plan;
    for (auto& [name, variable] : variables_) {
      variable.slot = plan.slots++;
      Load load{variable.kind, variable.slot, name, {}};
      if (variable.kind == LoadKind::alias) {
        load.outer = outer_->find(name).value_or(SlotRef{});
        ++load.outer.hops;
      }
      plan.loads.push_back(std::move(load));
    }
    return plan;
  }

 private:
  struct Variable {
    LoadKind kind = LoadKind::undefined;
    int slot = -1;
  };

  bool outer_has(const std::string& name) const {
    return outer_ != nullptr && outer_->find(name).has_value();
  }
  bool has(const std::string& name) const {
    return variables_.contains(name) || (base_ != nullptr && base_->has(name));
  }
  bool is_stored(const std::string& name) const {
    return stores_.contains(name) || (base_ != nullptr && base_->is_stored(name));
  }

  const Symbols* outer_;           // of the enclosing frame, complete
  const Symbols* base_ = nullptr;  // of a branch
  std::set<std::string> stores_;
  std::map<std::string, Variable> variables_;
};

// ---- Collecting the variables of a frame; the bodies of inner frames are left out

void collect(Symbols& symbols, const Expr* root) {
  visit_names(root, [&](const Expr& name) {
    name.store ? symbols.store(name.text) : symbols.load(name.text);
  });
}

void collect_parameters(Symbols& symbols, const Expr& target) {
  visit_names(&target, [&](const Expr& name) { symbols.declare_parameter(name.text); });
}

void collect(Symbols& symbols, const Block& block);

void collect_if(Symbols& symbols, const IfStmt& chain) {
  // Jinja2 treats the elif branches as one: a sequence of nested conditions without else.
  collect(symbols, chain.branches.front().test.get());
  std::vector<Symbols> branches(3, Symbols::branch(symbols));
  collect(branches[0], chain.branches.front().body);
  for (size_t i = 1; i < chain.branches.size(); ++i) {
    collect(branches[1], chain.branches[i].test.get());
    std::vector<Symbols> inner(1, Symbols::branch(branches[1]));
    collect(inner[0], chain.branches[i].body);
    branches[1].join(inner);
  }
  collect(branches[2], chain.otherwise);
  symbols.join(branches);
}

void collect(Symbols& symbols, const Stmt& stmt) {
  switch (stmt.kind) {
    case StmtKind::output:
      for (const ExprPtr& expr : static_cast<const OutputStmt&>(stmt).expressions) {
        collect(symbols, expr.get());
      }
      return;
    case StmtKind::for_loop:
      return collect(symbols, static_cast<const ForStmt&>(stmt).iterable.get());
    case StmtKind::if_chain:
      return collect_if(symbols, static_cast<const IfStmt&>(stmt));
    case StmtKind::macro:
      return symbols.store(static_cast<const MacroStmt&>(stmt).name);
    case StmtKind::call_block:
      return collect(symbols, static_cast<const CallBlockStmt&>(stmt).call.get());
    case StmtKind::filter_block:
      return collect(symbols, static_cast<const FilterBlockStmt&>(stmt).filter.get());
    case StmtKind::with:
      for (const ExprPtr& value : static_cast<const WithStmt&>(stmt).values) {
        collect(symbols, value.get());
      }
      return;
    case StmtKind::set: {
      const auto& set = static_cast<const SetStmt&>(stmt);
      collect(symbols, set.value.get());
      return collect(symbols, set.target.get());
    }
    case StmtKind::set_block:
      return collect(symbols, static_cast<const SetBlockStmt&>(stmt).target.get());
    case StmtKind::break_loop:
    case StmtKind::continue_loop:
      return;
  }
}

void collect(Symbols& symbols, const Block& block) {
  for (const StmtPtr& stmt : block) collect(symbols, *stmt);
}

// ---- Binding names to the complete frames, and making the inner frames

class Binder {
 public:
  Result<void> bind_program(Program& program) {
    Symbols symbols(nullptr);
    collect(symbols, program.body);
    program.frame = symbols.plan();
    return bind(symbols, program.body, false);
  }

 private:
  // `soft`: within a condition, where an unknown filter matters only when it is reached.
  Result<void> bind(const Symbols& symbols, Expr* expr, bool soft) {
    if (expr == nullptr) return {};
    if (expr->kind == ExprKind::name) expr->ref = symbols.find(expr->text).value_or(SlotRef{});
    if (!soft && expr->kind == ExprKind::filter && find_filter(expr->text) == nullptr) {
      return unknown(*expr, "filter");
    }
    if (!soft && expr->kind == ExprKind::test && find_test(expr->text) == nullptr) {
      return unknown(*expr, "test");
    }
    const bool soft_below = soft || expr->kind == ExprKind::conditional;
    for (const ExprPtr& child : expr->children) {
      LOTSE_TRY(bind(symbols, child.get(), soft_below));
    }
    if (expr->arguments == nullptr) return {};
    for (const ExprPtr& child : expr->arguments->positional) {
      LOTSE_TRY(bind(symbols, child.get(), soft_below));
    }
    for (const auto& [name, child] : expr->arguments->named) {
      LOTSE_TRY(bind(symbols, child.get(), soft_below));
    }
    LOTSE_TRY(bind(symbols, expr->arguments->star.get(), soft_below));
    return bind(symbols, expr->arguments->double_star.get(), soft_below);
  }

  static std::unexpected<Error> unknown(const Expr& expr, const char* what) {
    return fail(ErrorCode::invalid_input, "line {}: No {} named '{}'.", expr.line, what, expr.text);
  }

  Result<void> bind(const Symbols& symbols, const std::vector<ExprPtr>& expressions, bool soft) {
    for (const ExprPtr& expr : expressions) LOTSE_TRY(bind(symbols, expr.get(), soft));
    return {};
  }

  Result<void> bind(const Symbols& symbols, const Block& block, bool soft) {
    for (const StmtPtr& stmt : block) LOTSE_TRY(bind(symbols, *stmt, soft));
    return {};
  }

  Result<void> bind(const Symbols& symbols, Stmt& stmt, bool soft) {
    switch (stmt.kind) {
      case StmtKind::output:
        return bind(symbols, static_cast<OutputStmt&>(stmt).expressions, soft);
      case StmtKind::for_loop:
        return bind_for(symbols, static_cast<ForStmt&>(stmt), soft);
      case StmtKind::if_chain: {
        auto& chain = static_cast<IfStmt&>(stmt);
        for (const IfStmt::Branch& branch : chain.branches) {
          LOTSE_TRY(bind(symbols, branch.test.get(), true));
          LOTSE_TRY(bind(symbols, branch.body, true));
        }
        return bind(symbols, chain.otherwise, true);
      }
      case StmtKind::macro: {
        auto& macro = static_cast<MacroStmt&>(stmt);
        LOTSE_TRY(bind(symbols, macro.name_target.get(), soft));
        return bind_macro(symbols, macro);
      }
      case StmtKind::call_block: {
        auto& block = static_cast<CallBlockStmt&>(stmt);
        LOTSE_TRY(bind(symbols, block.call.get(), soft));
        return bind_macro(symbols, *block.caller);
      }
      case StmtKind::filter_block: {
        auto& block = static_cast<FilterBlockStmt&>(stmt);
        Symbols inner(&symbols);
        collect(inner, block.body);
        collect(inner, block.filter.get());
        block.frame = inner.plan();
        LOTSE_TRY(bind(inner, block.filter.get(), false));
        return bind(inner, block.body, false);
      }
      case StmtKind::with:
        return bind_with(symbols, static_cast<WithStmt&>(stmt), soft);
      case StmtKind::set: {
        auto& set = static_cast<SetStmt&>(stmt);
        LOTSE_TRY(bind(symbols, set.target.get(), soft));
        return bind(symbols, set.value.get(), soft);
      }
      case StmtKind::set_block: {
        auto& set = static_cast<SetBlockStmt&>(stmt);
        LOTSE_TRY(bind(symbols, set.target.get(), soft));
        Symbols inner(&symbols);
        collect(inner, set.body);
        collect(inner, set.filter.get());
        set.frame = inner.plan();
        LOTSE_TRY(bind(inner, set.filter.get(), false));
        return bind(inner, set.body, false);
      }
      case StmtKind::break_loop:
      case StmtKind::continue_loop:
        return {};
    }
    return {};
  }

  Result<void> bind_for(const Symbols& symbols, ForStmt& loop, bool soft) {
    LOTSE_TRY(bind(symbols, loop.iterable.get(), soft));
    LOTSE_TRY(check_loop_not_assigned(loop));

    Symbols body(&symbols);
    const bool uses_loop = reads_name(loop.body, "loop");
    if (uses_loop) body.declare_parameter("loop");
    collect_parameters(body, *loop.target);
    collect(body, loop.body);
    loop.body_frame = body.plan();
    if (uses_loop) loop.loop_slot = body.find("loop")->slot;
    LOTSE_TRY(bind(body, loop.target.get(), false));
    LOTSE_TRY(bind(body, loop.body, false));

    if (loop.filter != nullptr) {
      Symbols filter(&symbols);
      collect_parameters(filter, *loop.filter_target);
      collect(filter, loop.filter.get());
      loop.filter_frame = filter.plan();
      LOTSE_TRY(bind(filter, loop.filter_target.get(), false));
      LOTSE_TRY(bind(filter, loop.filter.get(), false));
    }

    Symbols otherwise(&symbols);
    collect(otherwise, loop.otherwise);
    loop.otherwise_frame = otherwise.plan();
    return bind(otherwise, loop.otherwise, false);
  }

  static Result<void> check_loop_not_assigned(const ForStmt& loop) {
    bool assigned = false;
    visit_names(loop, [&](const Expr& name) { assigned |= name.store && name.text == "loop"; });
    if (!assigned) return {};
    return fail(ErrorCode::invalid_input,
                "line {}: Can't assign to special loop variable in for-loop target", loop.line);
  }

  Result<void> bind_macro(const Symbols& symbols, MacroStmt& macro) {
    Symbols inner(&symbols);
    for (const ExprPtr& parameter : macro.parameters) inner.declare_parameter(parameter->text);
    const auto special = [&](const char* name) -> bool {
      const bool explicit_parameter = std::ranges::any_of(
          macro.parameters, [&](const ExprPtr& parameter) { return parameter->text == name; });
      if (explicit_parameter || !reads_name(macro.body, name)) return false;
      inner.declare_parameter(name);
      return true;
    };
    const bool caller = special("caller");
    const bool kwargs = special("kwargs");
    const bool varargs = special("varargs");
    for (const ExprPtr& value : macro.defaults) collect(inner, value.get());
    collect(inner, macro.body);
    macro.frame = inner.plan();
    if (caller) macro.caller_slot = inner.find("caller")->slot;
    if (kwargs) macro.kwargs_slot = inner.find("kwargs")->slot;
    if (varargs) macro.varargs_slot = inner.find("varargs")->slot;
    LOTSE_TRY(bind(inner, macro.parameters, false));
    LOTSE_TRY(bind(inner, macro.defaults, false));
    return bind(inner, macro.body, false);
  }

  Result<void> bind_with(const Symbols& symbols, WithStmt& with, bool soft) {
    LOTSE_TRY(bind(symbols, with.values, soft));
    Symbols inner(&symbols);
    for (const ExprPtr& target : with.targets) collect_parameters(inner, *target);
    collect(inner, with.body);
    with.frame = inner.plan();
    LOTSE_TRY(bind(inner, with.targets, false));
    return bind(inner, with.body, false);
  }
};

}  // namespace

Result<void> resolve_names(Program& program) { return Binder().bind_program(program); }

}  // namespace lotse::jinja
