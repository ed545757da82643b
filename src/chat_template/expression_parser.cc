#include "chat_template/expression_parser.h"

#include <algorithm>
#include <array>

namespace lotse::jinja {
namespace {

constexpr std::array<std::string_view, 6> kComparisons = {"==", "!=", "<", "<=", ">", ">="};

class NestingScope {
 public:
  explicit NestingScope(ExpressionParser& parser) : parser_(parser) {}
  ~NestingScope() { parser_.leave(); }
  NestingScope(const NestingScope&) = delete;
  NestingScope& operator=(const NestingScope&) = delete;

 private:
  ExpressionParser& parser_;
};

bool is_literal_name(std::string_view name) {
  return name == "true" || name == "false" || name == "True" || name == "False" || name == "none" ||
         name == "None";
}

ExprPtr new_node(ExprKind kind, int line, std::string text = {}) {
  auto node = std::make_unique<Expr>(kind, line);
  node->text = std::move(text);
  return node;
}

ExprPtr new_constant(int line, Value value) {
  ExprPtr node = new_node(ExprKind::constant, line);
  node->constant = std::move(value);
  return node;
}

int depth_below(const Expr& node) {
  int depth = 0;
  const auto consider = [&](const ExprPtr& child) {
    if (child != nullptr) depth = std::max(depth, child->depth);
  };
  for (const ExprPtr& child : node.children) consider(child);
  if (node.arguments != nullptr) {
    for (const ExprPtr& child : node.arguments->positional) consider(child);
    for (const auto& [name, child] : node.arguments->named) consider(child);
    consider(node.arguments->star);
    consider(node.arguments->double_star);
  }
  return depth;
}

void mark_store(Expr& node) {
  if (node.kind == ExprKind::namespace_target) return;
  node.store = true;
  for (const ExprPtr& child : node.children) mark_store(*child);
}

}  // namespace

const Token& ExpressionParser::next() {
  const Token& token = tokens_[position_];
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool ExpressionParser::skip_op(std::string_view op) {
  if (!current().is_op(op)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  next();
  return true;
}

Result<void> ExpressionParser::expect_op(std::string_view op) {
  LOTSE_TRY(expect_current_op(op));
  next();
  return {};
}

Result<void> ExpressionParser::expect_current_op(std::string_view op) const {
  if (current().is_op(op)) return {};
  return error_at(current().line, "expected token '{}', got '{}'", op, describe(current()));
}

Result<std::string> ExpressionParser::expect_name() {
  if (current().kind == TokenKind::name) return next().text;
  return error_at(current().line, "expected token 'name', got '{}'", describe(current()));
}

Result<void> ExpressionParser::expect_name(std::string_view name) {
  if (skip_name(name)) return {};
  return error_at(current().line, "expected token '{}', got '{}'", name, describe(current()));
}

Result<void> ExpressionParser::expect(TokenKind kind, std::string_view description) {
  if (current().kind != kind) {
    return error_at(current().line, "expected token '{}', got '{}'", description,
                    describe(current()));
  }
  next();
  return {};
}

Result<void> ExpressionParser::enter() {
  if (nesting_ >= kMaxParseNesting) {
    return error_at(current().line, "nested deeper than {} levels", kMaxParseNesting);
  }
  ++nesting_;
  return {};
}

Result<ExprPtr> ExpressionParser::finish(ExprPtr node) const {
  node->depth = depth_below(*node) + 1;
  if (node->depth <= kMaxTreeDepth) return node;
  return error_at(node->line, "expression deeper than {} levels", kMaxTreeDepth);
}

Result<ExprPtr> ExpressionParser::make(ExprKind kind, int line, ExprPtr first,
                                       ExprPtr second) const {
  ExprPtr node = new_node(kind, line);
  node->children.push_back(std::move(first));
  if (second != nullptr) node->children.push_back(std::move(second));
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_expression(bool with_conditional) {
  LOTSE_TRY(enter());
  const NestingScope scope(*this);
  return with_conditional ? parse_conditional() : parse_or();
}

Result<ExprPtr> ExpressionParser::parse_conditional() {
  LOTSE_TRY(enter());
  const NestingScope scope(*this);
  int line = current().line;
  ExprPtr then = LOTSE_TRY(parse_or());
  while (skip_name("if")) {
    ExprPtr node = new_node(ExprKind::conditional, line);
    node->children.push_back(LOTSE_TRY(parse_or()));
    node->children.push_back(std::move(then));
    node->children.push_back(skip_name("else") ? LOTSE_TRY(parse_conditional()) : nullptr);
    then = LOTSE_TRY(finish(std::move(node)));
    line = current().line;
  }
  return then;
}

Result<ExprPtr> ExpressionParser::parse_or() {
  ExprPtr left = LOTSE_TRY(parse_and());
  while (skip_name("or")) {
    const int line = left->line;
    left = LOTSE_TRY(make(ExprKind::logical_or, line, std::move(left), LOTSE_TRY(parse_and())));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_and() {
  ExprPtr left = LOTSE_TRY(parse_not());
  while (skip_name("and")) {
    const int line = left->line;
    left = LOTSE_TRY(make(ExprKind::logical_and, line, std::move(left), LOTSE_TRY(parse_not())));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  LOTSE_TRY(enter());
  const NestingScope scope(*this);
  const int line = next().line;
  return make(ExprKind::logical_not, line, LOTSE_TRY(parse_not()));
}

Result<ExprPtr> ExpressionParser::parse_compare() {
  ExprPtr first = LOTSE_TRY(parse_sum());
  ExprPtr node = new_node(ExprKind::compare, first->line);
  node->children.push_back(std::move(first));
  while (true) {
    std::string op;
    const bool comparison = current().kind == TokenKind::op &&
                            std::ranges::find(kComparisons, current().text) != kComparisons.end();
    if (comparison || current().is_name("in")) {
      op = next().text;
    } else if (current().is_name("not") && look().is_name("in")) {
      next();
      next();
      op = "not in";
    } else {
      break;
    }
    node->operators.push_back(std::move(op));
    node->children.push_back(LOTSE_TRY(parse_sum()));
  }
  if (node->operators.empty()) return std::move(node->children.front());
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_left_associative(
    std::initializer_list<std::string_view> operators, Parse operand) {
  ExprPtr left = LOTSE_TRY((this->*operand)());
  while (current().kind == TokenKind::op &&
         std::ranges::find(operators, current().text) != operators.end()) {
    ExprPtr node = new_node(ExprKind::binary, left->line, next().text);
    node->children.push_back(std::move(left));
    node->children.push_back(LOTSE_TRY((this->*operand)()));
    left = LOTSE_TRY(finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_sum() {
  return parse_left_associative({"+", "-"}, &ExpressionParser::parse_concat);
}

Result<ExprPtr> ExpressionParser::parse_concat() {
  ExprPtr first = LOTSE_TRY(parse_product());
  if (!current().is_op("~")) return first;
  ExprPtr node = new_node(ExprKind::concat, first->line);
  node->children.push_back(std::move(first));
  while (skip_op("~")) node->children.push_back(LOTSE_TRY(parse_product()));
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_product() {
  return parse_left_associative({"*", "/", "//", "%"}, &ExpressionParser::parse_power);
}

Result<ExprPtr> ExpressionParser::parse_power() {
  return parse_left_associative({"**"}, &ExpressionParser::parse_unary);
}

Result<ExprPtr> ExpressionParser::parse_unary() { return parse_signed(true); }

Result<ExprPtr> ExpressionParser::parse_signed(bool with_filter) {
  ExprPtr node;
  if (current().is_op("-") || current().is_op("+")) {
    LOTSE_TRY(enter());
    const NestingScope scope(*this);
    const Token& sign = next();
    const ExprKind kind = sign.text == "-" ? ExprKind::negate : ExprKind::plus;
    const int line = sign.line;
    node = LOTSE_TRY(make(kind, line, LOTSE_TRY(parse_signed(false))));
  } else {
    node = LOTSE_TRY(parse_primary(false));
  }
  node = LOTSE_TRY(parse_postfix(std::move(node)));
  return with_filter ? parse_filter_expression(std::move(node)) : std::move(node);
}

Result<ExprPtr> ExpressionParser::parse_primary(bool with_namespace) {
  const Token& token = current();
  const int line = token.line;
  if (token.kind == TokenKind::name) {
    next();
    const std::string& name = token.text;
    if (is_literal_name(name)) {
      const bool none = name == "none" || name == "None";
      const bool truth = name == "true" || name == "True";
      return new_constant(line, none ? Value::none() : Value::boolean(truth));
    }
    if (with_namespace && skip_op(".")) {
      ExprPtr node = new_node(ExprKind::namespace_target, line, LOTSE_TRY(expect_name()));
      node->children.push_back(new_node(ExprKind::name, line, name));
      return node;
    }
    return new_node(ExprKind::name, line, name);
  }
  if (token.kind == TokenKind::string) {
    std::string text = next().text;
    while (current().kind == TokenKind::string) text += next().text;
    return new_constant(line, Value::string(text, true));
  }
  if (token.kind == TokenKind::integer) {
    return new_constant(line, Value::integer(next().integer));
  }
  if (token.kind == TokenKind::floating) {
    return new_constant(line, Value::floating(next().floating));
  }
  if (token.is_op("(")) {
    next();
    ExprPtr node = LOTSE_TRY(parse_tuple(true, true));
    LOTSE_TRY(expect_op(")"));
    return node;
  }
  if (token.is_op("[")) return parse_list();
  if (token.is_op("{")) return parse_dict();
  return error_at(line, "unexpected '{}'", describe(token));
}

bool ExpressionParser::at_tuple_end() const {
  const Token& token = current();
  return token.kind == TokenKind::variable_end || token.kind == TokenKind::block_end ||
         token.is_op(")");
}

Result<ExprPtr> ExpressionParser::parse_tuple(bool with_conditional, bool parenthesised) {
  ExprPtr tuple = new_node(ExprKind::tuple, current().line);
  bool comma = false;
  while (!at_tuple_end()) {
    tuple->children.push_back(LOTSE_TRY(parse_expression(with_conditional)));
    if (!current().is_op(",")) break;
    comma = true;
    next();
  }
  if (comma || (tuple->children.empty() && parenthesised)) return finish(std::move(tuple));
  if (tuple->children.empty()) {
    return error_at(current().line, "Expected an expression, got '{}'", describe(current()));
  }
  return std::move(tuple->children.front());
}

Result<ExprPtr> ExpressionParser::parse_name_target() {
  const int line = current().line;
  ExprPtr node = new_node(ExprKind::name, line, LOTSE_TRY(expect_name()));
  if (is_literal_name(node->text)) return error_at(line, "can't assign to '{}'", node->text);
  node->store = true;
  return node;
}

Result<ExprPtr> ExpressionParser::parse_simple_tuple(bool with_namespace) {
  ExprPtr tuple = new_node(ExprKind::tuple, current().line);
  bool comma = false;
  while (!at_tuple_end()) {
    ExprPtr item = LOTSE_TRY(parse_primary(with_namespace));
    const bool assignable = item->kind == ExprKind::name || item->kind == ExprKind::tuple ||
                            item->kind == ExprKind::namespace_target;
    if (!assignable) return error_at(item->line, "can't assign to this expression");
    tuple->children.push_back(std::move(item));
    if (!current().is_op(",")) break;
    comma = true;
    next();
  }
  if (comma) return finish(std::move(tuple));
  if (tuple->children.empty()) {
    return error_at(current().line, "Expected an expression, got '{}'", describe(current()));
  }
  return std::move(tuple->children.front());
}

namespace {

bool can_assign(const Expr& target) {
  if (target.kind == ExprKind::name || target.kind == ExprKind::namespace_target) return true;
  return target.kind == ExprKind::tuple &&
         std::ranges::all_of(target.children, [](const ExprPtr& e) { return can_assign(*e); });
}

}  // namespace

Result<ExprPtr> ExpressionParser::parse_target(bool with_namespace) {
  ExprPtr target = LOTSE_TRY(parse_simple_tuple(with_namespace));
  if (!can_assign(*target)) return error_at(target->line, "can't assign to this expression");
  mark_store(*target);
  return target;
}

Result<ExprPtr> ExpressionParser::parse_list() {
  ExprPtr list = new_node(ExprKind::list, next().line);
  while (!current().is_op("]")) {
    list->children.push_back(LOTSE_TRY(parse_expression()));
    if (!current().is_op("]")) LOTSE_TRY(expect_op(","));
  }
  next();
  return finish(std::move(list));
}

Result<ExprPtr> ExpressionParser::parse_dict() {
  ExprPtr dict = new_node(ExprKind::dict, next().line);
  while (!current().is_op("}")) {
    dict->children.push_back(LOTSE_TRY(parse_expression()));
    LOTSE_TRY(expect_op(":"));
    dict->children.push_back(LOTSE_TRY(parse_expression()));
    if (!current().is_op("}")) LOTSE_TRY(expect_op(","));
  }
  next();
  return finish(std::move(dict));
}

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (current().is_op(".") || current().is_op("[")) {
      node = LOTSE_TRY(parse_subscript(std::move(node)));
    } else if (current().is_op("(")) {
      node = LOTSE_TRY(parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_filter_expression(ExprPtr node) {
  while (true) {
    if (current().is_op("|")) {
      node = LOTSE_TRY(parse_filters(std::move(node), false));
    } else if (current().is_name("is")) {
      node = LOTSE_TRY(parse_test(std::move(node)));
    } else if (current().is_op("(")) {
      node = LOTSE_TRY(parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_subscript(ExprPtr node) {
  const int line = current().line;
  if (next().text == "[") return parse_subscripts(std::move(node), line);
  const Token& attribute = next();
  if (attribute.kind == TokenKind::integer) {
    return make(ExprKind::item, line, std::move(node),
                new_constant(line, Value::integer(attribute.integer)));
  }
  if (attribute.kind != TokenKind::name) return error_at(line, "expected name or number");
  ExprPtr result = new_node(ExprKind::attribute, line, attribute.text);
  result->children.push_back(std::move(node));
  return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::parse_subscripts(ExprPtr node, int line) {
  ExprPtr tuple = new_node(ExprKind::tuple, line);
  bool sliced = false;
  ExprPtr slice = new_node(ExprKind::slice, line);
  slice->children.push_back(std::move(node));
  slice->children.resize(4);
  while (!current().is_op("]")) {
    if (!tuple->children.empty() || sliced) LOTSE_TRY(expect_op(","));
    if (!current().is_op(":")) {
      tuple->children.push_back(LOTSE_TRY(parse_expression()));
      if (!current().is_op(":")) continue;
      slice->children[1] = std::move(tuple->children.back());
      tuple->children.pop_back();
    }
    sliced = true;
    LOTSE_TRY(parse_slice_rest(*slice));
    if (!current().is_op(",")) LOTSE_TRY(expect_current_op("]"));
    if (!current().is_op("]") || !tuple->children.empty()) {
      return fail(ErrorCode::unsupported, "line {}: a slice among several subscripts", line);
    }
  }
  next();
  if (sliced) return finish(std::move(slice));
  node = std::move(slice->children.front());
  const bool single = tuple->children.size() == 1;
  ExprPtr key = single ? std::move(tuple->children.front()) : LOTSE_TRY(finish(std::move(tuple)));
  return make(ExprKind::item, line, std::move(node), std::move(key));
}

// ":stop:step" behind a slice's start.
Result<void> ExpressionParser::parse_slice_rest(Expr& slice) {
  for (size_t part = 2; part < 4 && skip_op(":"); ++part) {
    if (current().is_op(":") || current().is_op("]") || current().is_op(",")) continue;
    slice.children[part] = LOTSE_TRY(parse_expression());
  }
  return {};
}

Result<void> ExpressionParser::parse_argument(CallArguments& arguments, int line) {
  const auto ensure = [&](bool condition) -> Result<void> {
    if (condition) return {};
    return error_at(line, "invalid syntax for function call expression");
  };
  if (skip_op("*")) {
    LOTSE_TRY(ensure(arguments.star == nullptr && arguments.double_star == nullptr));
    arguments.star = LOTSE_TRY(parse_expression());
  } else if (skip_op("**")) {
    LOTSE_TRY(ensure(arguments.double_star == nullptr));
    arguments.double_star = LOTSE_TRY(parse_expression());
  } else if (current().kind == TokenKind::name && look().is_op("=")) {
    LOTSE_TRY(ensure(arguments.double_star == nullptr));
    std::string name = next().text;
    const auto same = [&](const auto& named) { return named.first == name; };
    if (std::ranges::any_of(arguments.named, same)) {
      return error_at(line, "keyword argument repeated: {}", name);
    }
    next();
    arguments.named.emplace_back(std::move(name), LOTSE_TRY(parse_expression()));
  } else {
    LOTSE_TRY(ensure(arguments.star == nullptr && arguments.double_star == nullptr &&
                     arguments.named.empty()));
    arguments.positional.push_back(LOTSE_TRY(parse_expression()));
  }
  return {};
}

Result<std::unique_ptr<CallArguments>> ExpressionParser::parse_arguments() {
  const int line = current().line;
  LOTSE_TRY(expect_op("("));
  auto arguments = std::make_unique<CallArguments>();
  while (!current().is_op(")")) {
    LOTSE_TRY(parse_argument(*arguments, line));
    if (!current().is_op(")")) LOTSE_TRY(expect_op(","));
  }
  next();
  return arguments;
}

Result<ExprPtr> ExpressionParser::parse_call(ExprPtr node) {
  ExprPtr call = new_node(ExprKind::call, current().line);
  call->arguments = LOTSE_TRY(parse_arguments());
  call->children.push_back(std::move(node));
  return finish(std::move(call));
}

Result<std::string> ExpressionParser::parse_dotted_name() {
  std::string name = LOTSE_TRY(expect_name());
  while (skip_op(".")) name += "." + LOTSE_TRY(expect_name());
  return name;
}

Result<ExprPtr> ExpressionParser::parse_filters(ExprPtr input, bool inline_start) {
  while (inline_start || skip_op("|")) {
    inline_start = false;
    ExprPtr filter = new_node(ExprKind::filter, current().line);
    filter->text = LOTSE_TRY(parse_dotted_name());
    filter->arguments =
        current().is_op("(") ? LOTSE_TRY(parse_arguments()) : std::make_unique<CallArguments>();
    filter->children.push_back(std::move(input));
    input = LOTSE_TRY(finish(std::move(filter)));
  }
  return input;
}

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr node) {
  const int line = next().line;
  const bool negated = skip_name("not");
  ExprPtr test = new_node(ExprKind::test, line);
  test->text = LOTSE_TRY(parse_dotted_name());
  test->children.push_back(std::move(node));
  test->arguments = std::make_unique<CallArguments>();
  const Token& token = current();
  const bool keyword = token.is_name("else") || token.is_name("or") || token.is_name("and");
  const bool operand = token.kind == TokenKind::name || token.kind == TokenKind::string ||
                       token.kind == TokenKind::integer || token.kind == TokenKind::floating ||
                       token.is_op("[") || token.is_op("{");
  if (token.is_op("(")) {
    test->arguments = LOTSE_TRY(parse_arguments());
  } else if (operand && !keyword) {
    if (token.is_name("is")) return error_at(line, "You cannot chain multiple tests with is");
    ExprPtr argument = LOTSE_TRY(parse_primary(false));
    test->arguments->positional.push_back(LOTSE_TRY(parse_postfix(std::move(argument))));
  }
  ExprPtr finished = LOTSE_TRY(finish(std::move(test)));
  return negated ? make(ExprKind::logical_not, line, std::move(finished)) : std::move(finished);
}

}  // namespace lotse::jinja
