#include "chat_template/chat_template.h"

#include <exception>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "chat_template/interpreter.h"
#include "chat_template/parser.h"
#include "chat_template/scope.h"

namespace lotse {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;

Result<jinja::Text> render_text(const jinja::Program& program, const OrderedJson& context,
                                const RenderOptions& options) {
  try {
    return jinja::Interpreter(program, options).render(context);
  } catch (const std::exception& error) {
    return fail(ErrorCode::limit, "{}: {}", program.origin, error.what());
  }
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const jinja::Program> program)
    : program_(std::move(program)) {}

ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string_view source,
                                                                  std::string_view origin) {
  if (source.size() > kMaxSourceBytes) {
    return fail(ErrorCode::limit, "{}: a chat template of {} bytes; at most {} are supported",
                origin, source.size(), kMaxSourceBytes);
  }
  if (!is_valid_utf8(source)) {
    return fail(ErrorCode::invalid_input, "{}: the chat template is not valid UTF-8", origin);
  }
  auto program = std::make_unique<jinja::Program>();
  program->origin = origin;
  const auto compile_program = [&]() -> Result<void> {
    program->body = LOTSE_TRY(jinja::parse_template(source));
    return jinja::resolve_names(*program);
  };
  auto compiled = compile_program();
  if (!compiled) return fail(compiled.error().code, "{}: {}", origin, compiled.error().message);
  return std::make_shared<const ChatTemplate>(std::move(program));
}

Result<std::string> ChatTemplate::render(const OrderedJson& context,
                                         const RenderOptions& options) const {
  const jinja::Text text = LOTSE_TRY(render_text(*program_, context, options));
  return text.bytes();
}

Result<std::vector<Segment>> ChatTemplate::render_segments(const OrderedJson& context,
                                                           const RenderOptions& options) const {
  const jinja::Text text = LOTSE_TRY(render_text(*program_, context, options));
  std::vector<Segment> segments;
  size_t begin = 0;
  for (const jinja::Text::Run& run : text.runs()) {
    segments.push_back({text.bytes().substr(begin, run.end - begin), run.trusted});
    begin = run.end;
  }
  return segments;
}

}  // namespace lotse
