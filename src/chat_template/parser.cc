#include "chat_template/parser.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>

#include "chat_template/expression_parser.h"

namespace lotse::jinja {
namespace {

using EndNames = std::initializer_list<std::string_view>;

class Parser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Block> parse() { return parse_block({}); }

 private:
  // Statements up to a tag named in `ends`, which stays the current token, or up to the end of the
  // template when there are none.
  Result<Block> parse_block(EndNames ends) {
    Block block;
    std::unique_ptr<OutputStmt> output;
    const auto output_here = [&]() -> OutputStmt& {
      if (output == nullptr) output = std::make_unique<OutputStmt>(current().line);
      return *output;
    };
    while (current().kind != TokenKind::end) {
      if (current().kind == TokenKind::data) {
        auto data = std::make_unique<Expr>(ExprKind::constant, current().line);
        data->constant = Value::string(current().text, true);
        output_here().expressions.push_back(std::move(data));
        next();
      } else if (current().kind == TokenKind::variable_begin) {
        next();
        output_here().expressions.push_back(LOTSE_TRY(parse_tuple()));
        LOTSE_TRY(expect(TokenKind::variable_end, "end of print statement"));
      } else {
        if (output != nullptr) block.push_back(std::move(output));
        LOTSE_TRY(expect(TokenKind::block_begin, "begin of statement block"));
        if (at_end_name(ends)) return block;
        block.push_back(LOTSE_TRY(parse_statement(ends)));
        LOTSE_TRY(expect(TokenKind::block_end, "end of statement block"));
      }
    }
    if (ends.size() != 0) {
      return error_at(current().line,
                      "unexpected end of template; the tag '{}' opened in line {} "
                      "needs '{}'",
                      open_tags_.back().first, open_tags_.back().second, fmt::join(ends, "' or '"));
    }
    if (output != nullptr) block.push_back(std::move(output));
    return block;
  }

  bool at_end_name(EndNames ends) const {
    return current().kind == TokenKind::name &&
           std::ranges::find(ends, current().text) != ends.end();
  }

  // The body of a block statement, from behind its head to behind the name of its end tag; returns
  // that name in `end`.
  Result<Block> parse_body(EndNames ends, std::string* end = nullptr) {
    skip_op(":");
    LOTSE_TRY(expect(TokenKind::block_end, "end of statement block"));
    Block block = LOTSE_TRY(parse_block(ends));
    if (end != nullptr) *end = current().text;
    next();
    return block;
  }

  Result<StmtPtr> parse_statement(EndNames ends) {
    if (current().kind != TokenKind::name) return error_at(current().line, "tag name expected");
    LOTSE_TRY(enter());
    open_tags_.emplace_back(current().text, current().line);
    auto statement = parse_tag(ends);
    open_tags_.pop_back();
    leave();
    return statement;
  }

  Result<StmtPtr> parse_tag(EndNames ends) {
    const std::string tag = current().text;
    const int line = next().line;
    if (tag == "for") return parse_for(line);
    if (tag == "if") return parse_if(line);
    if (tag == "set") return parse_set(line);
    if (tag == "macro") return parse_macro(line);
    if (tag == "call") return parse_call_block(line);
    if (tag == "filter") return parse_filter_block(line);
    if (tag == "with") return parse_with(line);
    if (tag == "print") return parse_print(line);
    if (tag == "generation") return parse_generation(line);
    if (tag == "break" || tag == "continue") return parse_loop_control(tag, line);
    for (const char* unsupported :
         {"include", "import", "from", "extends", "block", "autoescape"}) {
      if (tag == unsupported) {
        return fail(ErrorCode::unsupported, "line {}: the tag '{}' is not supported", line, tag);
      }
    }
    if (ends.size() == 0) return error_at(line, "unknown tag '{}'", tag);
    return error_at(line, "unknown tag '{}'; expected '{}'", tag, fmt::join(ends, "' or '"));
  }

  Result<StmtPtr> parse_for(int line) {
    auto loop = std::make_unique<ForStmt>(line);
    const size_t target_begin = mark();
    loop->target = LOTSE_TRY(parse_target(false));
    LOTSE_TRY(expect_name("in"));
    loop->iterable = LOTSE_TRY(parse_tuple(false));
    if (skip_name("if")) {
      loop->filter = LOTSE_TRY(parse_expression());
      const size_t here = mark();
      rewind(target_begin);
      loop->filter_target = LOTSE_TRY(parse_target(false));
      rewind(here);
    }
    if (current().is_name("recursive")) {
      return fail(ErrorCode::unsupported, "line {}: recursive loops are not supported", line);
    }
    ++loops_;
    std::string end;
    loop->body = LOTSE_TRY(parse_body({"endfor", "else"}, &end));
    --loops_;
    if (end == "else") loop->otherwise = LOTSE_TRY(parse_body({"endfor"}));
    return loop;
  }

  Result<StmtPtr> parse_if(int line) {
    auto chain = std::make_unique<IfStmt>(line);
    std::string end = "elif";
    while (end == "elif") {
      IfStmt::Branch branch;
      branch.test = LOTSE_TRY(parse_tuple(false));
      branch.body = LOTSE_TRY(parse_body({"elif", "else", "endif"}, &end));
      chain->branches.push_back(std::move(branch));
    }
    if (end == "else") chain->otherwise = LOTSE_TRY(parse_body({"endif"}));
    return chain;
  }

  Result<StmtPtr> parse_set(int line) {
    ExprPtr target = LOTSE_TRY(parse_target(true));
    if (skip_op("=")) {
      auto set = std::make_unique<SetStmt>(line);
      set->target = std::move(target);
      set->value = LOTSE_TRY(parse_tuple());
      return set;
    }
    auto set = std::make_unique<SetBlockStmt>(line);
    set->target = std::move(target);
    set->filter = LOTSE_TRY(parse_filters(nullptr, false));
    set->body = LOTSE_TRY(parse_body({"endset"}));
    return set;
  }

  Result<void> parse_signature(MacroStmt& macro) {
    LOTSE_TRY(expect_op("("));
    while (!current().is_op(")")) {
      if (!macro.parameters.empty()) LOTSE_TRY(expect_op(","));
      const int line = current().line;
      ExprPtr parameter = LOTSE_TRY(parse_name_target());
      const auto same = [&](const ExprPtr& other) { return other->text == parameter->text; };
      if (std::ranges::any_of(macro.parameters, same)) {
        return error_at(line, "duplicate argument '{}' in a macro's definition", parameter->text);
      }
      if (skip_op("=")) {
        macro.defaults.push_back(LOTSE_TRY(parse_expression()));
      } else if (!macro.defaults.empty()) {
        return error_at(line, "non-default argument follows default argument");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    next();
    return {};
  }

  // The body of a macro or call block, which is a function: loops outside are out of reach.
  Result<Block> parse_function_body(EndNames ends) {
    const int outer_loops = std::exchange(loops_, 0);
    Block body = LOTSE_TRY(parse_body(ends));
    loops_ = outer_loops;
    return body;
  }

  Result<StmtPtr> parse_macro(int line) {
    auto macro = std::make_unique<MacroStmt>(line);
    macro->name_target = LOTSE_TRY(parse_name_target());
    macro->name = macro->name_target->text;
    LOTSE_TRY(parse_signature(*macro));
    macro->body = LOTSE_TRY(parse_function_body({"endmacro"}));
    return macro;
  }

  Result<StmtPtr> parse_call_block(int line) {
    auto block = std::make_unique<CallBlockStmt>(line);
    block->caller = std::make_unique<MacroStmt>(line);
    block->caller->name = "caller";
    if (current().is_op("(")) LOTSE_TRY(parse_signature(*block->caller));
    block->call = LOTSE_TRY(parse_expression());
    if (block->call->kind != ExprKind::call) return error_at(line, "expected call");
    block->caller->body = LOTSE_TRY(parse_function_body({"endcall"}));
    return block;
  }

  // {% generation %} is {% call generation() %} of a function that returns what its caller prints.
  Result<StmtPtr> parse_generation(int line) {
    auto block = std::make_unique<CallBlockStmt>(line);
    block->caller = std::make_unique<MacroStmt>(line);
    block->caller->name = "caller";
    auto function = std::make_unique<Expr>(ExprKind::constant, line);
    function->constant = Value::function(Function::generation);
    block->call = std::make_unique<Expr>(ExprKind::call, line);
    block->call->arguments = std::make_unique<CallArguments>();
    block->call->children.push_back(std::move(function));
    block->caller->body = LOTSE_TRY(parse_function_body({"endgeneration"}));
    return block;
  }

  Result<StmtPtr> parse_filter_block(int line) {
    auto block = std::make_unique<FilterBlockStmt>(line);
    block->filter = LOTSE_TRY(parse_filters(nullptr, true));
    block->body = LOTSE_TRY(parse_body({"endfilter"}));
    return block;
  }

  Result<StmtPtr> parse_with(int line) {
    auto with = std::make_unique<WithStmt>(line);
    while (current().kind != TokenKind::block_end) {
      if (!with->targets.empty()) LOTSE_TRY(expect_op(","));
      with->targets.push_back(LOTSE_TRY(parse_target(false)));
      LOTSE_TRY(expect_op("="));
      with->values.push_back(LOTSE_TRY(parse_expression()));
    }
    with->body = LOTSE_TRY(parse_body({"endwith"}));
    return with;
  }

  Result<StmtPtr> parse_print(int line) {
    auto output = std::make_unique<OutputStmt>(line);
    while (current().kind != TokenKind::block_end) {
      if (!output->expressions.empty()) LOTSE_TRY(expect_op(","));
      output->expressions.push_back(LOTSE_TRY(parse_expression()));
    }
    return output;
  }

  Result<StmtPtr> parse_loop_control(std::string_view tag, int line) {
    if (loops_ == 0) return error_at(line, "'{}' outside loop", tag);
    return std::make_unique<Stmt>(tag == "break" ? StmtKind::break_loop : StmtKind::continue_loop,
                                  line);
  }

  int loops_ = 0;  // around the current statement, within its macro
  std::vector<std::pair<std::string, int>> open_tags_;
};

}  // namespace

Result<Block> parse_template(std::string_view source) {
  return Parser(LOTSE_TRY(tokenize(source))).parse();
}

}  // namespace lotse::jinja
