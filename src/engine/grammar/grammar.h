// Structured output: grammars that tell which texts a model may write.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

class Network;

// Which texts are allowed. Immutable, thread-safe, cheap to copy.
class Grammar {
 public:
  // Texts longer than this are refused by every function below.
  static constexpr size_t kMaxSourceBytes = size_t{4} << 20;

  // A JSON value that satisfies the schema; docs/structured-output.md has the keywords, the order
  // of properties and the white space. Errors name the keyword and where it stands: invalid_input,
  // unsupported (never is a keyword ignored unless it is an annotation), limit. Names that JSON
  // schema does not know are annotations, too; ignored() lists them, so that callers can tell.
  static Result<Grammar> json_schema(std::string_view schema);
  static Result<Grammar> parsed_json_schema(const nlohmann::ordered_json& schema);
  // Any JSON object.
  static Grammar json_object();
  // A text that the regular expression matches as a whole.
  static Result<Grammar> regex(std::string_view pattern);
  // One of the texts.
  static Result<Grammar> choice(std::span<const std::string> texts);
  // GBNF (llama.cpp), the EBNF of XGrammar, or the subset of Lark without imports.
  static Result<Grammar> ebnf(std::string_view grammar);

  explicit Grammar(Network network, std::vector<std::string> ignored = {});
  const std::shared_ptr<const Network>& network() const { return network_; }
  const std::vector<std::string>& ignored() const { return ignored_; }

 private:
  std::vector<std::string> ignored_;
  std::shared_ptr<const Network> network_;
};

}  // namespace lotse
