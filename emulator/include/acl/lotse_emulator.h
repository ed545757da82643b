/* What only the emulator has. A program that wants to tell whether an NPU is there looks for these
 * names; the vendor's libraries have none of them. */
#ifndef LOTSE_EMULATOR_H
#define LOTSE_EMULATOR_H

#ifdef __cplusplus
extern "C" {
#endif

/* What takes the device's place, in words for people. Never null. */
const char* lotseEmulatorName(void);

#ifdef __cplusplus
}
#endif
#endif
