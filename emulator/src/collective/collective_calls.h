// What the ranks' calls mean: the messages they move, whether they agree, and their virtual time.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "collective/collective_segment.h"

namespace lotse::emulator {

// Whether a member has a message for each other one, not the same for all.
bool per_destination(Operation operation);
bool reduces(Operation operation);

// Bytes of the message from member `from`, whose call is `call`, to member `to`.
int64_t message_bytes(const CallRecord& call, uint32_t from, uint32_t to);

// "HcclAllReduce(count 4, FP32, SUM)"
std::string text_of(const CallRecord& call, uint32_t member);

// Throws kCollectiveFault, the same on every rank, when the members' calls do not fit together.
void require_agreement(std::span<const CallRecord> calls, std::span<const uint32_t> ranks);

// The virtual time of an operation over the chip's link: that of a ring, where there is one.
double transfer_us(std::span<const CallRecord> calls);

}  // namespace lotse::emulator
