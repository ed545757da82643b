// The frame of every operator. aclnnXGetWorkspaceSize describes the operator to an `Op`: its
// arguments with the types they may have, the shapes that must hold, its cost, and a function that
// computes. What the Op refuses is reported with operator, argument, what was given and what the
// chip supports. aclnnX enqueues the function on a stream; only then is memory looked at.
// README.md, "Adding an operator", shows how.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "runtime/api.h"
#include "runtime/cost.h"
#include "runtime/error.h"
#include "runtime/rank_group.h"
#include "runtime/soc.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"
#include "tensor/view.h"

namespace lotse::emulator {

// An argument as it was when the operator was described; cheap to copy into the computing function.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::string argument, const TensorDesc& desc);

  bool present() const { return argument_ != nullptr; }  // false for an optional one left out
  const std::string& argument() const { return argument_->name; }
  const TensorDesc& desc() const { return argument_->desc; }
  aclDataType dtype() const { return desc().dtype; }
  const Dims& dims() const { return desc().dims; }
  int64_t rank() const { return dims().size(); }
  int64_t size(int64_t dim) const { return dims()[dim]; }
  int64_t count() const { return desc().count(); }
  // "argument self: got BF16 [2, 3]"
  std::string text() const;

  // The elements; only within the computing function.
  View view() const;

 private:
  struct Argument {
    std::string name;
    TensorDesc desc;
  };
  std::shared_ptr<const Argument> argument_;
};

enum class Layout { strided, any };  // any: FRACTAL_NZ too

class Op {
 public:
  explicit Op(const char* name) : name_(name) {}

  const char* name() const { return name_; }

  // Tensors that are read, written, or both. Null, dead or of another data type: refused. Types
  // that the chip lacks are taken from `types`.
  Tensor in(const char* argument, const aclTensor* tensor, DtypeSet types,
            Layout layout = Layout::strided);
  Tensor optional_in(const char* argument, const aclTensor* tensor, DtypeSet types);
  Tensor out(const char* argument, const aclTensor* tensor, DtypeSet types,
             Layout layout = Layout::strided);
  Tensor optional_out(const char* argument, const aclTensor* tensor, DtypeSet types);
  Tensor in_out(const char* argument, const aclTensor* tensor, DtypeSet types);
  std::vector<Tensor> in_list(const char* argument, const aclTensorList* list, DtypeSet types);

  ScalarValue scalar(const char* argument, const aclScalar* scalar);
  std::vector<int64_t> ints(const char* argument, const aclIntArray* array);
  // A dimension of `tensor`, counted from the end when negative.
  int64_t dim(const char* argument, int64_t dim, const Tensor& tensor);

  // Refuses with "argument NAME: got …, expected …".
  void expect_shape(const Tensor& tensor, const Dims& dims);
  void expect_rank(const Tensor& tensor, int64_t least, int64_t most);
  void expect_dtype(const Tensor& tensor, aclDataType dtype);
  // The shape to which `a` and `b` broadcast.
  Dims broadcast(const Tensor& a, const Tensor& b);

  template <class... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) const {
    if (!holds) fail(kInvalidArgument, format, std::forward<Args>(args)...);
  }

  // Bytes are counted from the tensors, vector operations as one an element of the largest; an
  // operator sets what differs.
  Cost& cost() { return cost_; }
  void matmul_cost(CubeRate rate, int64_t batch, int64_t m, int64_t n, int64_t k);
  // Scratch memory that the caller must bring; none unless set.
  void workspace(int64_t bytes) { workspace_ = bytes; }

  // What the operator does. It may run several times, and on another thread.
  void compute(std::function<void()> body) { body_ = std::move(body); }
  // For an operator whose body calls exchange_messages() once.
  void meet(std::shared_ptr<RankGroup> group) { group_ = std::move(group); }

 private:
  friend aclnnStatus describe_operator(const char*, uint64_t*, aclOpExecutor**,
                                       const std::function<void(Op&)>&) noexcept;
  Tensor add(const char* argument, const aclTensor* tensor, DtypeSet types, bool reads, bool writes,
             Layout layout);
  std::unique_ptr<aclOpExecutor> finish();

  const char* name_;
  Cost cost_{.vector_ops = -1, .bytes = -1, .launch = Launch::other};
  int64_t workspace_ = 0;
  std::function<void()> body_;
  std::shared_ptr<RankGroup> group_;
  struct Use {
    Tensor tensor;
    bool reads, writes;
  };
  std::vector<Use> uses_;
};

// Inside the body of an operator that meets others: message i goes to rank i; returns those of all
// ranks to this one.
std::vector<Message> exchange_messages(Gathering kind, const std::vector<Message>& messages);

// The first and the second call of every operator.
aclnnStatus describe_operator(const char* name, uint64_t* workspaceSize, aclOpExecutor** executor,
                              const std::function<void(Op&)>& build) noexcept;
aclnnStatus enqueue_operator(const char* name, void* workspace, uint64_t workspaceSize,
                             aclOpExecutor* executor, aclrtStream stream) noexcept;

// Defines both calls of operator NAME; what follows is a lambda's body that describes it to `op`,
// with the arguments in scope:
//   ACLNN(aclnnAbs, const aclTensor* self, aclTensor* out) { … } ACLNN_END
#define ACLNN(NAME, ...)                                                                           \
  LOTSE_C_API aclnnStatus NAME(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,   \
                               aclrtStream stream) {                                               \
    return ::lotse::emulator::enqueue_operator(#NAME, workspace, workspaceSize, executor, stream); \
  }                                                                                                \
  LOTSE_C_API aclnnStatus NAME##GetWorkspaceSize(__VA_ARGS__, uint64_t* workspaceSize,             \
                                                 aclOpExecutor** executor) {                       \
    return ::lotse::emulator::describe_operator(#NAME, workspaceSize, executor,                \
                                                [&](::lotse::emulator::Op & op)
#define ACLNN_END ); \
  }

}  // namespace lotse::emulator
