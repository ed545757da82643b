#include "server/page.h"

#include <algorithm>

namespace lotse {
namespace {

// Nothing but this server's own scripts and styles runs, none of them inline, and no other page may
// frame this one.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace

const PageFile* find_page_file(std::string_view path) {
  const auto files = page_files();
  const auto found = std::ranges::find(files, path, &PageFile::path);
  return found == files.end() ? nullptr : &*found;
}

HttpResponse page_response(const PageFile& file, const HttpHead& head) {
  HttpResponse response{200, std::string(file.content_type), {}, {}};
  response.headers = {{"Content-Security-Policy", kPolicy},
                      {"Cache-Control", "no-cache"},
                      {"ETag", std::string(file.etag)},
                      {"Referrer-Policy", "no-referrer"},
                      {"X-Content-Type-Options", "nosniff"}};
  if (head.header("if-none-match").find(file.etag) != std::string_view::npos) {
    response.status = 304;
  } else {
    response.body = file.bytes;
  }
  return response;
}

}  // namespace lotse
