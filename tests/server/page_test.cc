// The page's files as they are served: complete, guarded, and not sent twice.
#include "server/page.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "server/api.h"
#include "tests/server/fakes.h"

namespace lotse {
namespace {

const std::filesystem::path kWeb = std::filesystem::path(LOTSE_SOURCE_DIR) / "web";

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string header(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

HttpResponse get(Api& api, const std::string& method, const std::string& path,
                 HttpHeaders headers = {}) {
  FakeExchange exchange({method, path, std::move(headers)}, {});
  if (auto refused = api.refuse(exchange.head())) return *refused;
  const std::shared_ptr<FakeExchange> shared(&exchange, [](FakeExchange*) {});
  api.handle(shared);
  exchange.wait();
  return exchange.response;
}

// An API that asks for a key.
ApiOptions with_key() {
  const auto path = std::filesystem::path(testing::TempDir()) / "page_test_keys.txt";
  std::ofstream(path) << "a-secret-key-of-the-page-test\n";
  ApiOptions options;
  options.keys = *ApiKeys::load(path.string());
  return options;
}

TEST(Page, HasEveryFileOfTheFolder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kWeb)) {
    const std::string name = entry.path().filename().string();
    names.insert(name == "index.html" ? "/" : '/' + name);
    const PageFile* file = find_page_file(name == "index.html" ? "/" : '/' + name);
    ASSERT_NE(file, nullptr) << name;
    EXPECT_EQ(file->bytes, bytes_of(entry.path())) << name;
  }
  EXPECT_EQ(names.size(), page_files().size());
  EXPECT_EQ(find_page_file("/index.htm"), nullptr);
  EXPECT_EQ(find_page_file("/../web/app.js"), nullptr);
}

TEST(Page, IsServedWithoutKeyAndWithAStrictPolicy) {
  ModelRegistry models({ModelSource{"none"}}, {});
  Api api(with_key(), models);
  for (const PageFile& file : page_files()) {
    const HttpResponse response = get(api, "GET", std::string(file.path));
    EXPECT_EQ(response.status, 200) << file.path;
    EXPECT_EQ(response.body, file.bytes);
    EXPECT_EQ(response.content_type, file.content_type);
    EXPECT_EQ(header(response, "Cache-Control"), "no-cache");
    EXPECT_EQ(header(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(header(response, "Referrer-Policy"), "no-referrer");
    const std::string policy = header(response, "Content-Security-Policy");
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'self';")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  }
  EXPECT_EQ(find_page_file("/")->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(find_page_file("/app.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(get(api, "GET", "/v1/models").status, 401);
  EXPECT_EQ(get(api, "GET", "/app.mjs").status, 401);
}

TEST(Page, IsSentOnce) {
  ModelRegistry models({ModelSource{"none"}}, {});
  Api api({}, models);
  const HttpResponse first = get(api, "GET", "/app.js");
  const std::string etag = header(first, "ETag");
  EXPECT_EQ(etag.size(), 18U) << etag;
  const HttpResponse second = get(api, "GET", "/app.js", {{"if-none-match", "W/" + etag}});
  EXPECT_EQ(second.status, 304);
  EXPECT_EQ(second.body, "");
  EXPECT_EQ(header(second, "ETag"), etag);
  EXPECT_EQ(get(api, "GET", "/chat.js", {{"if-none-match", etag}}).status, 200);
}

TEST(Page, IsOnlyRead) {
  ModelRegistry models({ModelSource{"none"}}, {});
  Api api({}, models);
  EXPECT_EQ(get(api, "HEAD", "/").status, 200);
  const HttpResponse response = get(api, "POST", "/");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(header(response, "Allow"), "GET");
}

}  // namespace
}  // namespace lotse
