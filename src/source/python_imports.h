// Which names of a Python file stand for which modules and their members.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "source/use.h"

namespace lotse {

// What a name stands for: "tc" → torch.cuda after `import torch.cuda as tc`. Parameters and local
// variables stand for nothing: their target is empty.
struct Binding {
  std::vector<std::string> target;
  bool is_last_part = false;  // the name is itself the last part of the target: no "as"
  uint32_t position = 0;      // from where on
  size_t scope = 0;           // in which function; 0: in all of the file
  uint32_t import = 0;        // number of the "from" statement; 0 for others
};

class Imports {
 public:
  // Reads import statements and plain assignments of imported names (`tc = torch.cuda`). `tokens`
  // are without comments.
  Imports(std::string_view file, const std::vector<Token>& tokens);

  // What `name` stands for at `position`: its latest binding before, of the functions around it or
  // of the module, else the module's first; null where it stands for nothing imported.
  const Binding* find(std::string_view name, uint32_t position) const;

  // A use for each thing imported.
  const std::vector<Use>& uses() const { return uses_; }
  // Where a first `import torch` or `from torch …` that stands on its own line begins and ends;
  // empty without one.
  Span first_import_of(std::string_view module) const;

  struct Statement {
    Span span;           // the statement up to and with its newline
    std::string module;  // first part: "torch"
    bool own_line;       // nothing else on its line
  };
  const std::vector<Statement>& statements() const { return statements_; }
  // The token after an import statement that begins at `token`; `token` itself where none begins.
  size_t past_import(size_t token) const;

 private:
  struct Parser;

  // A function, from its "def" to the end of its body. The first is the file.
  struct Scope {
    uint32_t begin;
    uint32_t end;
  };

  void bind(std::string_view name, Binding binding);

  std::unordered_map<std::string, std::vector<Binding>> bindings_;
  std::vector<Scope> scopes_;
  std::unordered_map<size_t, size_t> ends_;
  std::vector<Statement> statements_;
  std::vector<Use> uses_;
};

}  // namespace lotse
