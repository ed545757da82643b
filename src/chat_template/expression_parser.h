// Parses expressions: the lower half of the parser, which statements build on.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat_template/ast.h"
#include "chat_template/lexer.h"

namespace lotse::jinja {

// Deeper trees are refused, so that every later walk over a tree may recurse.
inline constexpr int kMaxTreeDepth = 300;
inline constexpr int kMaxParseNesting = 100;

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& look() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  const Token& next();
  // A position to come back to.
  size_t mark() const { return position_; }
  void rewind(size_t mark) { position_ = mark; }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Result<void> expect_op(std::string_view op);
  Result<void> expect_current_op(std::string_view op) const;  // leaves it
  Result<std::string> expect_name();
  Result<void> expect_name(std::string_view name);
  Result<void> expect(TokenKind kind, std::string_view description);

  template <class... Args>
  std::unexpected<Error> error_at(int line, fmt::format_string<Args...> format,
                                  Args&&... args) const {
    return fail(ErrorCode::invalid_input, "line {}: {}", line,
                fmt::format(format, std::forward<Args>(args)...));
  }

  Result<ExprPtr> parse_expression(bool with_conditional = true);
  // An expression, or several with commas between them: a tuple, which may be empty in parentheses.
  Result<ExprPtr> parse_tuple(bool with_conditional = true, bool parenthesised = false);
  // A name, a tuple of names, or (where allowed) an attribute of a namespace.
  Result<ExprPtr> parse_target(bool with_namespace);
  Result<ExprPtr> parse_name_target();
  // "|filter|filter…" applied to `input`; with `inline_start` the first "|" is absent.
  Result<ExprPtr> parse_filters(ExprPtr input, bool inline_start);

  // Counts nesting of blocks and brackets; every successful enter() needs a leave().
  Result<void> enter();
  void leave() { --nesting_; }

 private:
  using Parse = Result<ExprPtr> (ExpressionParser::*)();

  // Sets the depth of a complete node, an error when the tree is too deep.
  Result<ExprPtr> finish(ExprPtr node) const;
  Result<ExprPtr> make(ExprKind kind, int line, ExprPtr first, ExprPtr second = nullptr) const;
  Result<ExprPtr> parse_left_associative(std::initializer_list<std::string_view> operators,
                                         Parse operand);

  Result<ExprPtr> parse_conditional();
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary();
  Result<ExprPtr> parse_signed(bool with_filter);
  Result<ExprPtr> parse_primary(bool with_namespace);
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filter_expression(ExprPtr node);
  Result<ExprPtr> parse_subscript(ExprPtr node);
  Result<ExprPtr> parse_subscripts(ExprPtr node, int line);
  Result<void> parse_slice_rest(Expr& slice);
  Result<ExprPtr> parse_call(ExprPtr node);
  Result<ExprPtr> parse_test(ExprPtr node);
  Result<std::unique_ptr<CallArguments>> parse_arguments();
  Result<void> parse_argument(CallArguments& arguments, int line);
  Result<std::string> parse_dotted_name();
  Result<ExprPtr> parse_simple_tuple(bool with_namespace);
  bool at_tuple_end() const;

  std::vector<Token> tokens_;
  size_t position_ = 0;
  int nesting_ = 0;
};

}  // namespace lotse::jinja
