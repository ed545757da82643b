// aclrt* functions of streams and events.
#include <memory>
#include <mutex>

#include "acl/acl.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/handles.h"
#include "runtime/stream.h"

using namespace lotse::emulator;

namespace {

class Event {
 public:
  void record(std::shared_ptr<Marker> marker) {
    const std::lock_guard lock(mutex_);
    marker_ = std::move(marker);
  }
  std::shared_ptr<Marker> last() {
    const std::lock_guard lock(mutex_);
    return marker_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Marker> marker_;  // of the last record; null before the first
};

Event& event_of(aclrtEvent handle, const char* argument = "event") {
  check_handle(handle, HandleKind::event, argument, kInvalidHandle);
  return *static_cast<Event*>(handle);
}

aclError create_event(const char* function, aclrtEvent* event) {
  return guarded(function, [&] {
    require_pointer(event, "event");
    current_device();
    *event = hand_out(std::make_unique<Event>(), HandleKind::event);
  });
}

double completion_time(aclrtEvent handle, const char* argument) {
  const auto marker = event_of(handle, argument).last();
  if (!marker) fail(kInvalidParameter, "argument {}: the event was never recorded", argument);
  if (!marker->completed()) {
    fail(kInvalidParameter, "argument {}: the event has not completed; synchronise it first",
         argument);
  }
  return marker->time;
}

}  // namespace

LOTSE_C_API aclError aclrtCreateStream(aclrtStream* stream) {
  return guarded("aclrtCreateStream", [&] {
    require_pointer(stream, "stream");
    *stream = hand_out(std::make_unique<Stream>(current_device().id()), HandleKind::stream);
  });
}

LOTSE_C_API aclError aclrtDestroyStream(aclrtStream stream) {
  return guarded("aclrtDestroyStream", [&] {
    if (stream_of(stream).capture() != nullptr) {
      fail(kCaptureState, "the stream is being captured; call aclmdlRICaptureEnd first");
    }
    take_back(static_cast<Stream*>(stream), HandleKind::stream, "stream", kInvalidHandle);
  });
}

LOTSE_C_API aclError aclrtSynchronizeStream(aclrtStream stream) {
  return guarded("aclrtSynchronizeStream", [&] { stream_of(stream).synchronize(); });
}

LOTSE_C_API aclError aclrtCreateEvent(aclrtEvent* event) {
  return create_event("aclrtCreateEvent", event);
}

LOTSE_C_API aclError aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t) {
  return create_event("aclrtCreateEventWithFlag", event);
}

LOTSE_C_API aclError aclrtDestroyEvent(aclrtEvent event) {
  return guarded("aclrtDestroyEvent", [&] {
    take_back(static_cast<Event*>(event), HandleKind::event, "event", kInvalidHandle);
  });
}

LOTSE_C_API aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  return guarded("aclrtRecordEvent", [&] { event_of(event).record(stream_of(stream).record()); });
}

// An event that was never recorded has nothing to wait for.
LOTSE_C_API aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
  return guarded("aclrtStreamWaitEvent", [&] {
    Stream& waiting = stream_of(stream);
    if (auto marker = event_of(event).last()) waiting.wait(std::move(marker));
  });
}

LOTSE_C_API aclError aclrtSynchronizeEvent(aclrtEvent event) {
  return guarded("aclrtSynchronizeEvent", [&] {
    const auto marker = event_of(event).last();
    if (!marker) return;
    if (marker->captured) {
      fail(kCaptureState, "the event was recorded in a capture; it cannot be waited for");
    }
    const auto fault = marker->wait_on_host();
    if (fault) throw Error(fault->code, fault->text);
  });
}

LOTSE_C_API aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  return guarded("aclrtQueryEventStatus", [&] {
    require_pointer(status, "status");
    const auto marker = event_of(event).last();
    const bool complete = !marker || marker->completed();
    if (marker && complete) marker->wait_on_host();
    *status = complete ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
  });
}

LOTSE_C_API aclError aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  return guarded("aclrtEventElapsedTime", [&] {
    require_pointer(ms, "ms");
    const double start = completion_time(startEvent, "startEvent");
    *ms = static_cast<float>((completion_time(endEvent, "endEvent") - start) / 1000);
  });
}
