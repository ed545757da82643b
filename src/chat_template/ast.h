// The syntax tree of a template. Names are resolved to slots of frames by scope.h, following
// Jinja2's rules of scope.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat_template/value.h"

namespace lotse::jinja {

// ---- Expressions

enum class ExprKind {
  constant,
  name,
  tuple,
  list,
  dict,         // children: key, value, key, value, …
  conditional,  // children: test, then, else (null when absent)
  logical_or,
  logical_and,
  logical_not,
  compare,  // children: operands; text of each operator in `operators`
  binary,   // op in `text`: + - * / // % **
  concat,
  negate,
  plus,
  attribute,  // child.text
  item,       // child[child]
  slice,      // child[start:stop:step], each null when absent
  call,
  filter,  // the input child is null in a filter block
  test,
  namespace_target,  // name.text as the target of a set
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *values
  ExprPtr double_star;  // **values
};

// Where a variable lives: `hops` frames outward, at `slot`.
struct SlotRef {
  int hops = 0;
  int slot = 0;
};

struct Expr {
  Expr(ExprKind kind_given, int line_given) : kind(kind_given), line(line_given) {}

  ExprKind kind;
  int line;
  int depth = 1;       // of the tree from here; bounded, so that walks may recurse
  bool store = false;  // a name that is assigned to
  std::string text;
  Value constant;
  std::vector<std::string> operators;
  std::vector<ExprPtr> children;
  std::unique_ptr<CallArguments> arguments;
  SlotRef ref;  // of a name or a namespace_target
};

// ---- Frames

enum class LoadKind { resolve, alias, undefined, parameter };

// What a variable of a frame is when the frame begins.
struct Load {
  LoadKind kind;
  int slot;
  std::string name;  // resolve: looked up in the context, then among the globals
  SlotRef outer;     // alias: the variable of an outer frame whose value is copied
};

struct FramePlan {
  int slots = 0;
  std::vector<Load> loads;
};

// ---- Statements

enum class StmtKind {
  output,
  for_loop,
  if_chain,
  macro,
  call_block,
  filter_block,
  with,
  set,
  set_block,
  break_loop,
  continue_loop,
};

struct Stmt {
  Stmt(StmtKind kind_given, int line_given) : kind(kind_given), line(line_given) {}
  virtual ~Stmt() = default;

  StmtKind kind;
  int line;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

// Prints expressions; template text is a constant.
struct OutputStmt : Stmt {
  explicit OutputStmt(int l) : Stmt(StmtKind::output, l) {}
  std::vector<ExprPtr> expressions;
};

struct ForStmt : Stmt {
  explicit ForStmt(int l) : Stmt(StmtKind::for_loop, l) {}
  ExprPtr target;
  ExprPtr iterable;
  ExprPtr filter;         // null when absent
  ExprPtr filter_target;  // a copy of `target` in the frame of the filter
  Block body;
  Block otherwise;
  FramePlan body_frame;
  FramePlan filter_frame;
  FramePlan otherwise_frame;
  int loop_slot = -1;  // of the variable `loop`; −1 when nothing uses it
};

struct IfStmt : Stmt {
  explicit IfStmt(int l) : Stmt(StmtKind::if_chain, l) {}
  struct Branch {
    ExprPtr test;
    Block body;
  };
  std::vector<Branch> branches;
  Block otherwise;
};

struct MacroStmt : Stmt {
  explicit MacroStmt(int l) : Stmt(StmtKind::macro, l) {}
  std::string name;     // "caller" of a call block
  ExprPtr name_target;  // null in a call block
  std::vector<ExprPtr> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  FramePlan frame;
  // Slots of the special parameters; −1 when the body does not use them.
  int caller_slot = -1;
  int kwargs_slot = -1;
  int varargs_slot = -1;
};

struct CallBlockStmt : Stmt {
  explicit CallBlockStmt(int l) : Stmt(StmtKind::call_block, l) {}
  ExprPtr call;
  std::unique_ptr<MacroStmt> caller;
};

struct FilterBlockStmt : Stmt {
  explicit FilterBlockStmt(int l) : Stmt(StmtKind::filter_block, l) {}
  ExprPtr filter;  // in the block's frame
  Block body;
  FramePlan frame;
};

struct WithStmt : Stmt {
  explicit WithStmt(int l) : Stmt(StmtKind::with, l) {}
  std::vector<ExprPtr> targets;
  std::vector<ExprPtr> values;
  Block body;
  FramePlan frame;
};

struct SetStmt : Stmt {
  explicit SetStmt(int l) : Stmt(StmtKind::set, l) {}
  ExprPtr target;
  ExprPtr value;
};

struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(int l) : Stmt(StmtKind::set_block, l) {}
  ExprPtr target;
  ExprPtr filter;  // in the block's frame; null when absent
  Block body;
  FramePlan frame;
};

struct Program {
  std::string origin;
  Block body;
  FramePlan frame;
};

}  // namespace lotse::jinja
