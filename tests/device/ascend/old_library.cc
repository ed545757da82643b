// Stands in for libraries of a toolkit that is too old: only one of the functions is there.
extern "C" __attribute__((visibility("default"))) int aclInit(const char*) { return 0; }
