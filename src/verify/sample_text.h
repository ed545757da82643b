// A few paragraphs in several languages, for comparing models when the user gives no text.
#pragma once

#include <string_view>

namespace lotse {

std::string_view sample_text();

}  // namespace lotse
