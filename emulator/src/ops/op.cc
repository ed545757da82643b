#include "ops/op.h"

#include <algorithm>

#include "ops/injected_fault.h"
#include "runtime/handles.h"
#include "runtime/memory.h"
#include "runtime/stream.h"

// The object behind an executor: all that a stream needs.
struct aclOpExecutor {
  lotse::emulator::Task task;
  std::shared_ptr<lotse::emulator::RankGroup> group;
  int64_t workspace = 0;
  bool repeatable = false;
};

namespace lotse::emulator {
namespace {

// Where the operator that this thread computes runs.
thread_local int32_t running_device = 0;
thread_local int running_code = kVectorFault;

// The exchange that this thread's operator is to make.
struct RunningExchange {
  RankGroup* group = nullptr;
  const char* operation = nullptr;
  uint64_t turn = 0;
  bool done = false;
};
thread_local RunningExchange running_exchange;

// The task takes its turn whenever it joins a queue, and ends it however it fares.
void take_turns(Task& task, const std::shared_ptr<RankGroup>& group, const char* name) {
  task.meets_others = true;
  task.issue = [group, name, run = std::move(task.run)](Task& issued) {
    const uint64_t turn = group->take_exchange();
    issued.abandon = [group, name, turn](const std::string& fault) {
      group->abandon(turn, name, fault);
    };
    issued.run = [group, name, turn, run] {
      running_exchange = {group.get(), name, turn, false};
      try {
        run();
      } catch (const std::exception& error) {
        if (!running_exchange.done) group->abandon(turn, name, error.what());
        throw;
      }
    };
  };
}

// Types that only some chips have; the others are everywhere.
constexpr DtypeSet kChipDependent =
    kFloat8 | DtypeSet{ACL_BF16, ACL_INT4, ACL_HIFLOAT8, ACL_FLOAT4_E2M1};

DtypeSet on_this_chip(DtypeSet types) {
  return types.without(kChipDependent.without(soc().dtypes));
}

const aclTensor* live(const char* argument, const aclTensor* tensor) {
  if (tensor == nullptr) fail(kNullArgument, "argument {} is null", argument);
  check_handle(tensor, HandleKind::tensor, argument, kInvalidArgument);
  return tensor;
}

}  // namespace

Tensor::Tensor(std::string argument, const TensorDesc& desc)
    : argument_(std::make_shared<Argument>(std::move(argument), desc)) {}

std::string Tensor::text() const {
  return fmt::format("argument {}: got {}", argument(), desc().text());
}

View Tensor::view() const {
  const ByteRange range = bytes_of(desc());
  if (range.size == 0) return View(desc(), nullptr);
  try {
    std::byte* first = resolve(reinterpret_cast<const void*>(range.begin),
                               static_cast<size_t>(range.size), running_device, running_code);
    return View(desc(), first - (range.begin - reinterpret_cast<uintptr_t>(desc().data)));
  } catch (const Error& error) {
    fail(error.code(), "argument {} ({}): {}", argument(), desc().text(), error.text());
  }
}

Tensor Op::add(const char* argument, const aclTensor* tensor, DtypeSet types, bool reads,
               bool writes, Layout layout) {
  Tensor added(argument, live(argument, tensor)->desc);
  const DtypeSet supported = on_this_chip(types);
  require(supported.contains(added.dtype()), "{}, but {} supports {}", added.text(), soc().name,
          names_of(supported));
  require(layout == Layout::any || !added.desc().is_fractal(),
          "{}, but this operator takes no FRACTAL_NZ here", added.text());
  uses_.push_back({added, reads, writes});
  return added;
}

Tensor Op::in(const char* argument, const aclTensor* tensor, DtypeSet types, Layout layout) {
  return add(argument, tensor, types, true, false, layout);
}

Tensor Op::optional_in(const char* argument, const aclTensor* tensor, DtypeSet types) {
  return tensor == nullptr ? Tensor() : in(argument, tensor, types);
}

Tensor Op::out(const char* argument, const aclTensor* tensor, DtypeSet types, Layout layout) {
  return add(argument, tensor, types, false, true, layout);
}

Tensor Op::optional_out(const char* argument, const aclTensor* tensor, DtypeSet types) {
  return tensor == nullptr ? Tensor() : out(argument, tensor, types);
}

Tensor Op::in_out(const char* argument, const aclTensor* tensor, DtypeSet types) {
  return add(argument, tensor, types, true, true, Layout::strided);
}

std::vector<Tensor> Op::in_list(const char* argument, const aclTensorList* list, DtypeSet types) {
  if (list == nullptr) fail(kNullArgument, "argument {} is null", argument);
  check_handle(list, HandleKind::tensor_list, argument, kInvalidArgument);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < list->tensors.size(); ++i) {
    tensors.push_back(in(fmt::format("{}[{}]", argument, i).c_str(), list->tensors[i], types));
  }
  return tensors;
}

ScalarValue Op::scalar(const char* argument, const aclScalar* scalar) {
  if (scalar == nullptr) fail(kNullArgument, "argument {} is null", argument);
  check_handle(scalar, HandleKind::scalar, argument, kInvalidArgument);
  return scalar->value;
}

std::vector<int64_t> Op::ints(const char* argument, const aclIntArray* array) {
  if (array == nullptr) fail(kNullArgument, "argument {} is null", argument);
  check_handle(array, HandleKind::int_array, argument, kInvalidArgument);
  return array->values;
}

int64_t Op::dim(const char* argument, int64_t dim, const Tensor& tensor) {
  const int64_t rank = std::max<int64_t>(tensor.rank(), 1);
  require(dim >= -rank && dim < rank, "argument {}: got {}, but {} {} has dimensions {} to {}",
          argument, dim, tensor.argument(), tensor.desc().text(), -rank, rank - 1);
  return dim < 0 ? dim + rank : dim;
}

void Op::expect_shape(const Tensor& tensor, const Dims& dims) {
  require(tensor.dims() == dims, "{}, expected shape {}", tensor.text(), text_of(dims));
}

void Op::expect_rank(const Tensor& tensor, int64_t least, int64_t most) {
  require(tensor.rank() >= least && tensor.rank() <= most, "{}, expected {} to {} dimensions",
          tensor.text(), least, most);
}

void Op::expect_dtype(const Tensor& tensor, aclDataType dtype) {
  require(tensor.dtype() == dtype, "{}, expected {}", tensor.text(), name_of(dtype));
}

Dims Op::broadcast(const Tensor& a, const Tensor& b) {
  const int64_t rank = std::max(a.rank(), b.rank());
  Dims result = Dims::filled(rank, 1);
  for (int64_t i = 1; i <= rank; ++i) {
    const int64_t first = i <= a.rank() ? a.size(a.rank() - i) : 1;
    const int64_t second = i <= b.rank() ? b.size(b.rank() - i) : 1;
    require(first == second || first == 1 || second == 1, "{}, which does not broadcast with {} {}",
            b.text(), a.argument(), a.desc().text());
    result[rank - i] = first == 1 ? second : first;
  }
  return result;
}

void Op::matmul_cost(CubeRate rate, int64_t batch, int64_t m, int64_t n, int64_t k) {
  cost_.cube_ops = 2.0 * static_cast<double>(batch) * static_cast<double>(m) *
                   static_cast<double>(n) * static_cast<double>(k);
  cost_.cube_rate = rate;
  cost_.vector_ops = 0;
  cost_.launch = Launch::matmul;
}

std::unique_ptr<aclOpExecutor> Op::finish() {
  double bytes = 0, elements = 0;
  auto executor = std::make_unique<aclOpExecutor>();
  std::vector<Tensor> tensors;
  for (const Use& use : uses_) {
    const auto count = static_cast<double>(use.tensor.count());
    const int times = (use.reads ? 1 : 0) + (use.writes ? 1 : 0);
    bytes += times * static_cast<double>(bytes_of(use.tensor.dtype(), use.tensor.count()));
    elements = std::max(elements, count);
    const ByteRange range = bytes_of(use.tensor.desc());
    executor->task.accesses.push_back({.begin = range.begin,
                                       .size = static_cast<size_t>(range.size),
                                       .writes = use.writes,
                                       .argument = use.tensor.argument(),
                                       .run = static_cast<size_t>(range.run),
                                       .period = static_cast<size_t>(range.period),
                                       .irregular = range.irregular});
    tensors.push_back(use.tensor);
  }
  if (cost_.bytes < 0) cost_.bytes = bytes;
  if (cost_.vector_ops < 0) cost_.vector_ops = elements;
  const int code = cost_.cube_ops > 0 ? kCubeFault : kVectorFault;
  executor->task.name = name_;
  executor->task.cost = cost_;
  executor->workspace = workspace_;
  executor->group = group_;
  executor->task.run = [tensors = std::move(tensors), body = std::move(body_), code] {
    running_code = code;
    for (const Tensor& tensor : tensors) tensor.view();
    body();
  };
  return executor;
}

std::vector<Message> exchange_messages(Gathering kind, const std::vector<Message>& messages) {
  RunningExchange& exchange = running_exchange;
  exchange.done = true;
  return exchange.group->exchange(exchange.turn, kind, exchange.operation, messages);
}

aclnnStatus describe_operator(const char* name, uint64_t* workspaceSize, aclOpExecutor** executor,
                              const std::function<void(Op&)>& build) noexcept {
  return guarded(name, [&] {
    if (workspaceSize == nullptr) fail(kNullArgument, "argument workspaceSize is null");
    if (executor == nullptr) fail(kNullArgument, "argument executor is null");
    Op op(name);
    build(op);
    auto made = op.finish();
    *workspaceSize = static_cast<uint64_t>(made->workspace);
    *executor = hand_out(std::move(made), HandleKind::executor);
  });
}

aclnnStatus enqueue_operator(const char* name, void* workspace, uint64_t workspaceSize,
                             aclOpExecutor* executor, aclrtStream stream) noexcept {
  return guarded(name, [&] {
    if (executor == nullptr) fail(kNullArgument, "argument executor is null");
    check_handle(executor, HandleKind::executor, "executor", kInvalidArgument);
    if (executor->task.name != name) {
      fail(kInvalidArgument, "argument executor: it was made by {}GetWorkspaceSize",
           executor->task.name);
    }
    const auto needed = static_cast<uint64_t>(executor->workspace);
    if (needed > 0 && workspace == nullptr) {
      fail(kNullArgument, "argument workspace is null, but {} bytes are needed", needed);
    }
    if (workspaceSize < needed) {
      fail(kInvalidArgument, "argument workspaceSize: got {}, but {} bytes are needed",
           workspaceSize, needed);
    }
    Stream& target = stream_of(stream);
    Task task = executor->task;
    if (needed > 0) {
      task.accesses.push_back({.begin = reinterpret_cast<uintptr_t>(workspace),
                               .size = needed,
                               .writes = true,
                               .argument = "workspace"});
    }
    task.run = [run = std::move(task.run), workspace, needed, id = target.device(), name] {
      running_device = id;
      if (is_injected_fault(name))
        fail(kVectorFault, "a fault that LOTSE_EMULATOR_FAULT asked for");
      if (needed > 0) {
        try {
          resolve(workspace, needed, id, kVectorFault);
        } catch (const Error& error) {
          fail(error.code(), "argument workspace: {}", error.text());
        }
      }
      run();
    };
    if (executor->group != nullptr) {
      if (target.device() != executor->group->device()) {
        fail(kInvalidArgument,
             "argument stream: it is device {}'s, but the communicator is device {}'s",
             target.device(), executor->group->device());
      }
      take_turns(task, executor->group, name);
    }
    target.enqueue(std::move(task));
    if (!executor->repeatable) {
      take_back(executor, HandleKind::executor, "executor", kInvalidArgument);
    }
  });
}

}  // namespace lotse::emulator

LOTSE_C_API aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  using namespace lotse::emulator;
  return guarded("aclSetAclOpExecutorRepeatable", [&] {
    check_handle(executor, HandleKind::executor, "executor", kInvalidArgument);
    executor->repeatable = true;
  });
}

LOTSE_C_API aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) {
  using namespace lotse::emulator;
  return guarded("aclDestroyAclOpExecutor",
                 [&] { take_back(executor, HandleKind::executor, "executor", kInvalidArgument); });
}
