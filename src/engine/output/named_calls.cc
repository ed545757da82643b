#include "engine/output/named_calls.h"

#include <optional>

#include "engine/output/json_calls.h"

namespace lotse {
namespace {

constexpr size_t kMaxHeaderBytes = 512;

// A text up to a delimiter, which is not part of it.
class Header {
 public:
  explicit Header(std::string_view delimiter) : delimiter_(delimiter) {}
  // `last`: the delimiter is complete.
  Taken take(char c) {
    text_ += c;
    if (text_.ends_with(delimiter_)) {
      text_.resize(text_.size() - delimiter_.size());
      return Taken::last;
    }
    return text_.size() > kMaxHeaderBytes ? Taken::bad : Taken::more;
  }
  const std::string& text() const { return text_; }

 private:
  std::string_view delimiter_;
  std::string text_;
};

// A header, and the arguments of the call that it names.
class NamedCall : public CallBody {
 public:
  Taken take(char c, CallWriter& calls) final {
    if (!has_header_) {
      const Taken taken = take_header_byte(c);
      if (taken != Taken::last) return taken;
      has_header_ = true;
      return Taken::more;
    }
    if (!calls.is_open()) {
      if (is_json_space(c)) return Taken::more;
      if (c != '{' || !is_call_name(name_)) return Taken::bad;
      calls.begin(name_, id_);
    }
    const Taken taken = arguments_.take(c);
    if (taken == Taken::bad) return taken;
    calls.arguments({&c, 1});
    if (taken == Taken::last) calls.end();
    return taken;
  }

 protected:
  // `last`: the header is complete, and name_ is set.
  virtual Taken take_header_byte(char c) = 0;

  std::string name_, id_;

 private:
  bool has_header_ = false;
  JsonCursor arguments_;
};

class MistralCall final : public NamedCall {
  Taken take_header_byte(char c) override {
    const Taken taken = header_.take(c);
    if (taken != Taken::last) return taken;
    constexpr std::string_view kId = "[CALL_ID]";
    const std::string& text = header_.text();
    const size_t id = text.find(kId);
    name_ = text.substr(0, id);
    if (id != std::string::npos) id_ = text.substr(id + kId.size());
    return taken;
  }

  Header header_{"[ARGS]"};
};

// The first byte tells which of Mistral's two forms it is.
class MistralCalls final : public CallBody {
 public:
  Taken take(char c, CallWriter& calls) override {
    if (body_ == nullptr) {
      if (is_json_space(c)) return Taken::more;
      if (c == '[' || c == '{') {
        body_ = json_calls({});
      } else {
        body_ = std::make_unique<MistralCall>();
      }
    }
    return body_->take(c, calls);
  }

 private:
  std::unique_ptr<CallBody> body_;
};

class DeepseekCall final : public NamedCall {
  Taken take_header_byte(char c) override {
    if (!has_first_) {
      const Taken taken = first_.take(c);
      if (taken != Taken::last) return taken;
      name_ = first_.text();
      // "function" is the only kind of tool there ever was.
      has_first_ = true;
      return name_ == "function" ? Taken::more : Taken::last;
    }
    const Taken taken = fence_.take(c);
    if (taken == Taken::last) name_ = fence_.text();
    return taken;
  }

  bool has_first_ = false;
  Header first_{"<｜tool▁sep｜>"};
  Header fence_{"\n```json\n"};
};

class KimiCall final : public NamedCall {
  Taken take_header_byte(char c) override {
    const Taken taken = header_.take(c);
    if (taken != Taken::last) return taken;
    id_ = header_.text();
    constexpr std::string_view kPrefix = "functions.";
    name_ = id_.substr(0, id_.rfind(':'));
    if (name_.starts_with(kPrefix)) name_.erase(0, kPrefix.size());
    return taken;
  }

  Header header_{"<|tool_call_argument_begin|>"};
};

class FunctionaryCall final : public NamedCall {
  Taken take_header_byte(char c) override {
    const Taken taken = header_.take(c);
    name_ = header_.text();
    return taken;
  }

  Header header_{">"};
};

// A marker before a body, with white space around it.
class Section final : public CallBody {
 public:
  Section(std::string_view marker, std::unique_ptr<CallBody> body)
      : marker_left_(marker), body_(std::move(body)) {}

  Taken take(char c, CallWriter& calls) override {
    if (marker_left_.empty()) return body_->take(c, calls);
    if (!has_begun_ && is_json_space(c)) return Taken::more;
    has_begun_ = true;
    if (c != marker_left_.front()) return Taken::bad;
    marker_left_.remove_prefix(1);
    return Taken::more;
  }

 private:
  std::string_view marker_left_;
  std::unique_ptr<CallBody> body_;
  bool has_begun_ = false;
};

}  // namespace

std::unique_ptr<CallBody> mistral_calls(const Tools& /*tools*/) {
  return std::make_unique<MistralCalls>();
}

std::unique_ptr<CallBody> deepseek_section(const Tools& tools) {
  return std::make_unique<Section>("<｜tool▁call▁begin｜>", deepseek_call(tools));
}

std::unique_ptr<CallBody> deepseek_call(const Tools& /*tools*/) {
  return std::make_unique<DeepseekCall>();
}

std::unique_ptr<CallBody> kimi_section(const Tools& tools) {
  return std::make_unique<Section>("<|tool_call_begin|>", kimi_call(tools));
}

std::unique_ptr<CallBody> kimi_call(const Tools& /*tools*/) { return std::make_unique<KimiCall>(); }

std::unique_ptr<CallBody> functionary_call(const Tools& /*tools*/) {
  return std::make_unique<FunctionaryCall>();
}

}  // namespace lotse
