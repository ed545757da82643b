/* A matrix product on an Ascend device, in plain C: y = a x b, 2x3 times 3x2. Compiles against the
 * vendor's toolkit or the emulator alike.
 *
 *   cc matmul.c -I build/emulator/toolkit/include -L build/emulator/toolkit/lib64 \
 *     -lascendcl -lnnopbase -lopapi -o matmul
 *   LD_LIBRARY_PATH=build/emulator/lib ./matmul
 */
#include <acl/acl.h>
#include <aclnnop/aclnn_matmul.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status, const char* what) {
  if (status == 0) return;
  const char* text = aclGetRecentErrMsg();
  fprintf(stderr, "%s: code %d: %s\n", what, status, text ? text : "no text");
  exit(1);
}

/* Device memory with a copy of `values`, and a row-major tensor over it. */
static aclTensor* upload(const float* values, int64_t rows, int64_t columns, void** memory) {
  const size_t bytes = (size_t)(rows * columns) * sizeof(float);
  const int64_t shape[2] = {rows, columns}, strides[2] = {columns, 1};
  check(aclrtMalloc(memory, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  check(aclrtMemcpy(*memory, bytes, values, bytes, ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy");
  return aclCreateTensor(shape, 2, ACL_FLOAT, strides, 0, ACL_FORMAT_ND, shape, 2, *memory);
}

int main(void) {
  const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 0, 1, 1, 1}, zero[4] = {0};
  float y[4];
  void *da, *db, *dy, *workspace = NULL;
  uint64_t bytes = 0;
  aclOpExecutor* executor = NULL;
  aclrtStream stream;
  check(aclInit(NULL), "aclInit");
  check(aclrtSetDevice(0), "aclrtSetDevice");
  check(aclrtCreateStream(&stream), "aclrtCreateStream");
  aclTensor* ta = upload(a, 2, 3, &da);
  aclTensor* tb = upload(b, 3, 2, &db);
  aclTensor* ty = upload(zero, 2, 2, &dy);

  /* Every operator takes two calls: the first checks and says how much workspace it needs. */
  check(aclnnMatmulGetWorkspaceSize(ta, tb, ty, 0, &bytes, &executor), "aclnnMatmul");
  if (bytes > 0) check(aclrtMalloc(&workspace, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  check(aclnnMatmul(workspace, bytes, executor, stream), "aclnnMatmul");
  check(aclrtSynchronizeStream(stream), "aclrtSynchronizeStream");
  check(aclrtMemcpy(y, sizeof y, dy, sizeof y, ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy");
  printf("on %s: [%g %g; %g %g]\n", aclrtGetSocName(), y[0], y[1], y[2], y[3]);

  aclDestroyTensor(ta), aclDestroyTensor(tb), aclDestroyTensor(ty);
  aclrtFree(da), aclrtFree(db), aclrtFree(dy);
  if (workspace) aclrtFree(workspace);
  check(aclrtDestroyStream(stream), "aclrtDestroyStream");
  return aclFinalize();
}
