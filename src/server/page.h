// The page at "/": the files of web/, which are built into the program.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "server/http.h"

namespace lotse {

struct PageFile {
  std::string_view path;  // as requests ask for it: "/app.js"; "/" for index.html
  std::string_view content_type;
  std::string_view etag;  // with its quotes
  std::string_view bytes;
};

std::span<const PageFile> page_files();

// Null when there is no such file.
const PageFile* find_page_file(std::string_view path);

// The file, or 304 where the client has it. Files need no key: they hold nothing of the model, and
// what the page asks of the API does need one.
HttpResponse page_response(const PageFile& file, const HttpHead& head);

}  // namespace lotse
