// Where the ranks of a communicator find each other: an abstract Unix socket, which leaves nothing
// in the file system, in the process that made the root info. Its name and a secret are random;
// other users are refused. Once all ranks came, each is handed the file of their shared memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "hccl/hccl.h"

namespace lotse::emulator {

// A number of seconds from the environment; throws HCCL_E_PARA when the variable holds none.
std::chrono::seconds seconds_from(const char* variable, int64_t otherwise);

// Tells apart the name spaces in which process ids count; 0 when unknown.
uint64_t process_namespace();

// The name of a new communicator, for messages.
std::string new_communicator_name();

// Opens a rendezvous, which ends when all ranks came or the first has waited for too long.
HcclRootInfo open_rendezvous();

// Waits at the rendezvous for the others; the file of the shared memory, which the caller closes.
// Throws HCCL_E_TIMEOUT with the ranks that are missing.
int join_rendezvous(const HcclRootInfo& root_info, uint32_t ranks, uint32_t rank);

}  // namespace lotse::emulator
