// A use: something in a source file that a rule may recognise. Readers find uses, rules match them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/token.h"

namespace lotse {

// Where a use stands, and so which rules may match it. The names are those of the data file.
enum class Place : uint8_t {
  python_name,       // dotted, resolved through imports: "torch.cuda.synchronize"
  python_member,     // an attribute of any object: "is_cuda", and "cuda()" where it is called
  python_decorator,  // as python_name
  python_keyword,    // "num_warps=8": an argument with its value, the value empty unless one token
  python_string,     // a literal's content; "{}" stands for an f-string's fields
  cpp_name,          // qualified: "at::cuda::getCurrentCUDAStream"
  cpp_member,        // as python_member
  cpp_include,       // "cuda_runtime.h"
  cpp_string,
  cpp_asm,     // the text of an inline assembly statement
  cpp_kernel,  // the name of a __global__ function
  cpp_launch,  // the name before <<<…>>>
  env,         // an environment variable's name, in any file
  package,     // a dependency: lower case, '-' for '_'
  image,       // a container image
  command,     // a word of a shell command, a makefile or a container file
  cmake,       // a word of a CMake file
  device,      // the value of a device option outside Python and C++: "cuda:0"
};
inline constexpr size_t kPlaces = 18;
std::string_view name(Place place);
std::optional<Place> place_from_name(std::string_view name);

struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;

  bool empty() const { return begin == end; }
  friend auto operator<=>(const Span&, const Span&) = default;
};

struct Use {
  Place place = Place::python_name;
  std::string text = {};  // what rules match
  Span span = {};         // of `text` in the file, or of what stands for it
  // Of each part of a dotted or qualified name; empty where the part stands in an import elsewhere.
  std::vector<Span> parts = {};
  int64_t arguments = -1;   // C++: of the call of this name; -1 where it is not called
  std::string callee = {};  // whose argument a string is; empty where it is none
  std::string shown = {};   // for people, where `text` alone says too little
  // Names imported together by one "from … import" share its number: they are renamed together or
  // not at all. A name used through such an import depends on it. 0: none.
  uint32_t import = 0;
  bool is_import = false;
};

// Takes a use; true when some rule knows it.
using UseSink = std::function<bool(const Use&)>;

}  // namespace lotse
