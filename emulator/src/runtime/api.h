// Visibility: LOTSE_C_API defines one of the vendor's C symbols; LOTSE_EMULATOR_API marks the C++
// interface by which the emulator's libraries use each other.
#pragma once

#define LOTSE_C_API extern "C" __attribute__((visibility("default")))
#define LOTSE_EMULATOR_API __attribute__((visibility("default")))
