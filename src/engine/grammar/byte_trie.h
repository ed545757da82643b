// Writes many texts between two states of a network, as a trie.
#pragma once

#include <string>
#include <vector>

#include "engine/grammar/network.h"

namespace lotse {

void add_texts(NetworkBuilder& builder, int32_t from, std::vector<std::string> texts, int32_t to);

}  // namespace lotse
