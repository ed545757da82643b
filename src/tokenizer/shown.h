// Untrusted text inside an error message.
#pragma once

#include <string>
#include <string_view>

namespace lotse {

// At most about 60 bytes of `text`, valid UTF-8 and on one line.
std::string shown_briefly(std::string_view text);

}  // namespace lotse
