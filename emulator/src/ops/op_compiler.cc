// libacl_op_compiler.so has nothing in it: operators need no compiling here, but programs link it.
#include "acl/acl.h"
