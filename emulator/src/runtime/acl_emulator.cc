#include "acl/lotse_emulator.h"
#include "runtime/api.h"

LOTSE_C_API const char* lotseEmulatorName() {
  return "Lotse on this computer's processor; its device times are predictions";
}
