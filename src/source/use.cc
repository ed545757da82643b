#include "source/use.h"

#include <algorithm>
#include <array>

namespace lotse {
namespace {

constexpr std::array<std::string_view, kPlaces> kNames = {"python.name",
                                                          "python.member",
                                                          "python.decorator",
                                                          "python.keyword",
                                                          "python.string",
                                                          "cpp.name",
                                                          "cpp.member",
                                                          "cpp.include",
                                                          "cpp.string",
                                                          "cpp.asm",
                                                          "cpp.kernel",
                                                          "cpp.launch",
                                                          "env",
                                                          "package",
                                                          "image",
                                                          "command",
                                                          "cmake",
                                                          "device"};

}  // namespace

std::string_view name(Place place) { return kNames[static_cast<size_t>(place)]; }

std::optional<Place> place_from_name(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Place>(found - kNames.begin());
}

}  // namespace lotse
