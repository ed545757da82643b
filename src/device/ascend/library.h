// The vendor's libraries, or the emulator's, loaded at run time: functions by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "device/ascend/abi.h"

namespace lotse::ascend {

// Loaded shared libraries in which names are looked up. Keeps the names that were not found.
class Symbols {
 public:
  explicit Symbols(std::vector<void*> handles) : handles_(std::move(handles)) {}
  // Loads libraries of one folder, dependencies first. Error: unsupported, with the loader's
  // reason.
  static Result<Symbols> load(const std::string& folder, std::span<const char* const> names);

  void* find(const std::string& name);
  void* find_optional(const std::string& name) const;
  const std::vector<std::string>& missing() const { return missing_; }
  // An `unsupported` error that names what was looked for in vain.
  Result<void> expect_all(const std::string& folder) const;

 private:
  std::vector<void*> handles_;  // never closed: the libraries start threads of their own
  std::vector<std::string> missing_;
};

// Optional: toolkits before the one that brought it are used without.
enum class Presence : uint8_t { required, optional };

template <class Signature>
class Function;

// One C function. Calling it when it is absent is a programmer's mistake: Library::open() has
// checked the required ones.
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function(Symbols& symbols, const std::string& name, Presence presence = Presence::required)
      : pointer_(reinterpret_cast<R (*)(Args...)>(
            presence == Presence::required ? symbols.find(name) : symbols.find_optional(name))) {}
  bool exists() const { return pointer_ != nullptr; }
  R operator()(std::type_identity_t<Args>... args) const { return pointer_(args...); }

 private:
  R (*pointer_)(Args...);
};

// One aclnn operator: both of its phases. Args are those before workspace size and executor.
template <class... Args>
class Operator {
 public:
  Operator(Symbols& symbols, const char* name, Presence presence = Presence::required)
      : name_(name),
        prepare_(symbols, std::string(name) + "GetWorkspaceSize", presence),
        launch_(symbols, name, presence) {}

  const char* name() const { return name_; }
  bool exists() const { return prepare_.exists() && launch_.exists(); }
  AclStatus prepare(Args... args, uint64_t* bytes, AclExecutor** executor) const {
    return prepare_(args..., bytes, executor);
  }
  AclStatus launch(void* workspace, uint64_t bytes, AclExecutor* executor, AclStream stream) const {
    return launch_(workspace, bytes, executor, stream);
  }

 private:
  const char* name_;
  Function<AclStatus(Args..., uint64_t*, AclExecutor**)> prepare_;
  Function<AclStatus(void*, uint64_t, AclExecutor*, AclStream)> launch_;
};

using T = const AclTensor*;
using S = const AclScalar*;
using IntArray = const AclIntArray*;
using TensorList = const AclTensorList*;

// Every function this backend calls. A row's types are the function's argument list.
struct Library {
  // Looks in LOTSE_ASCEND_LIBRARY_PATH (folders, ':' between), then ASCEND_HOME_PATH and the
  // toolkit's usual places, then for the emulator beside the program; the first place that has the
  // libraries is used. Errors: not_found lists the places; unsupported names the functions that the
  // libraries of a wrong version lack. Opened once a process; thread-safe.
  static Result<const Library*> open();

  explicit Library(Symbols found) : symbols(std::move(found)) {}

  Symbols symbols;
  std::string folder;    // where the libraries were found
  std::string emulator;  // the emulator's own description; empty on the vendor's libraries

  Function<const char*()> recent_error{symbols, "aclGetRecentErrMsg"};
  Function<AclStatus(const char*)> init{symbols, "aclInit"};
  Function<AclStatus(uint32_t*)> device_count{symbols, "aclrtGetDeviceCount"};
  Function<AclStatus(int32_t)> set_device{symbols, "aclrtSetDevice"};
  Function<const char*()> soc_name{symbols, "aclrtGetSocName"};
  Function<AclStatus(int, size_t*, size_t*)> memory_info{symbols, "aclrtGetMemInfo"};
  Function<AclStatus(void**, size_t, int)> allocate{symbols, "aclrtMalloc"};
  Function<AclStatus(void*)> release{symbols, "aclrtFree"};
  Function<AclStatus(void**, size_t)> allocate_host{symbols, "aclrtMallocHost"};
  Function<AclStatus(void*)> release_host{symbols, "aclrtFreeHost"};
  Function<AclStatus(void*, size_t, const void*, size_t, AclCopy)> copy{symbols, "aclrtMemcpy"};
  Function<AclStatus(void*, size_t, const void*, size_t, AclCopy, AclStream)> copy_async{
      symbols, "aclrtMemcpyAsync"};
  Function<AclStatus(void*, size_t, int32_t, size_t)> fill{symbols, "aclrtMemset"};
  Function<AclStatus(AclStream*)> create_stream{symbols, "aclrtCreateStream"};
  Function<AclStatus(AclStream)> destroy_stream{symbols, "aclrtDestroyStream"};
  Function<AclStatus(AclStream)> synchronise{symbols, "aclrtSynchronizeStream"};
  Function<AclStatus(AclEvent*)> create_event{symbols, "aclrtCreateEvent"};
  Function<AclStatus(AclEvent)> destroy_event{symbols, "aclrtDestroyEvent"};
  Function<AclStatus(AclEvent, AclStream)> record_event{symbols, "aclrtRecordEvent"};
  Function<AclStatus(float*, AclEvent, AclEvent)> elapsed{symbols, "aclrtEventElapsedTime"};

  Function<AclStatus(AclStream, int)> capture_begin{symbols, "aclmdlRICaptureBegin",
                                                    Presence::optional};
  Function<AclStatus(AclStream, AclGraph*)> capture_end{symbols, "aclmdlRICaptureEnd",
                                                        Presence::optional};
  Function<AclStatus(AclGraph, AclStream)> execute_graph{symbols, "aclmdlRIExecuteAsync",
                                                         Presence::optional};
  Function<AclStatus(AclGraph)> destroy_graph{symbols, "aclmdlRIDestroy", Presence::optional};
  Function<AclStatus(AclStream)> group_begin{symbols, "aclmdlRICaptureTaskGrpBegin",
                                             Presence::optional};
  Function<AclStatus(AclStream, AclTaskGroup*)> group_end{symbols, "aclmdlRICaptureTaskGrpEnd",
                                                          Presence::optional};
  Function<AclStatus(AclStream, AclTaskGroup)> update_begin{
      symbols, "aclmdlRICaptureTaskUpdateBegin", Presence::optional};
  Function<AclStatus(AclStream)> update_end{symbols, "aclmdlRICaptureTaskUpdateEnd",
                                            Presence::optional};

  Function<AclTensor*(const int64_t*, uint64_t, AclType, const int64_t*, int64_t, AclFormat,
                      const int64_t*, uint64_t, void*)>
      create_tensor{symbols, "aclCreateTensor"};
  Function<AclStatus(T)> destroy_tensor{symbols, "aclDestroyTensor"};
  Function<AclTensorList*(const T*, uint64_t)> create_list{symbols, "aclCreateTensorList"};
  Function<AclStatus(const AclTensorList*)> destroy_list{symbols, "aclDestroyTensorList"};
  Function<AclScalar*(void*, AclType)> create_scalar{symbols, "aclCreateScalar"};
  Function<AclStatus(S)> destroy_scalar{symbols, "aclDestroyScalar"};
  Function<AclIntArray*(const int64_t*, uint64_t)> create_ints{symbols, "aclCreateIntArray"};
  Function<AclStatus(IntArray)> destroy_ints{symbols, "aclDestroyIntArray"};

  Operator<T, T, S, T> add{symbols, "aclnnAdd"};
  Operator<T, T, S> inplace_add{symbols, "aclnnInplaceAdd"};
  Operator<T, S> inplace_muls{symbols, "aclnnInplaceMuls"};
  Operator<T, T> inplace_mul{symbols, "aclnnInplaceMul"};
  Operator<T, T> inplace_div{symbols, "aclnnInplaceDiv"};
  Operator<T, T> abs{symbols, "aclnnAbs"};
  Operator<T, T> round{symbols, "aclnnRound"};
  Operator<T, S> inplace_fill{symbols, "aclnnInplaceFillScalar"};
  Operator<T, S, T> clamp_min{symbols, "aclnnClampMin"};
  Operator<T, T, T> mul{symbols, "aclnnMul"};
  Operator<T, T, T> div{symbols, "aclnnDiv"};
  Operator<T, T> tanh{symbols, "aclnnTanh"};
  Operator<T, T> inplace_copy{symbols, "aclnnInplaceCopy"};
  Operator<T, AclType, T> cast{symbols, "aclnnCast"};
  Operator<T, T> exp{symbols, "aclnnExp"};
  Operator<T, int64_t, bool, T, T> max_dim{symbols, "aclnnMaxDim"};
  Operator<T, T, T> embedding{symbols, "aclnnEmbedding"};
  Operator<T, int64_t, T, T> index_select{symbols, "aclnnIndexSelect"};
  Operator<T, int64_t, T, T> inplace_index_copy{symbols, "aclnnInplaceIndexCopy"};
  Operator<T, T, T, int8_t> matmul{symbols, "aclnnMatmul"};
  Operator<T, T, T, int8_t> batch_matmul{symbols, "aclnnBatchMatMul"};
  Operator<T, int64_t, T> softmax{symbols, "aclnnSoftmax"};
  Operator<T, IntArray, bool, AclType, T> reduce_sum{symbols, "aclnnReduceSum"};
  Operator<T, int64_t, int64_t, bool, bool, T, T> topk{symbols, "aclnnTopk"};
  Operator<T, T, int64_t, int64_t, bool, T, T, T> moe_gating{symbols,
                                                             "aclnnMoeGatingTopKSoftmaxV2"};
  Operator<T, T, T, T, int64_t, int64_t, int64_t, int64_t, int64_t, bool, int64_t, IntArray,
           int64_t, T, T, T, T>
      moe_routing{symbols, "aclnnMoeInitRoutingV3"};
  Operator<T, T, T, T, T, T, T, int64_t, T> moe_combine{symbols, "aclnnMoeFinalizeRoutingV2"};
  Operator<TensorList, TensorList, TensorList, TensorList, TensorList, TensorList, TensorList,
           TensorList, T, TensorList, TensorList, TensorList, int64_t, int64_t, int64_t, int64_t,
           TensorList, TensorList, TensorList>
      grouped_matmul{symbols, "aclnnGroupedMatmulV4"};
  Operator<T, T, double, T, T> rms_norm{symbols, "aclnnRmsNorm"};
  Operator<T, T, T, double, T, T, T> add_rms_norm{symbols, "aclnnAddRmsNorm"};
  Operator<T, IntArray, T, T, double, T, T, T> layer_norm{symbols, "aclnnLayerNorm"};
  Operator<T, T> gelu{symbols, "aclnnGelu"};
  Operator<T, int64_t, T> gelu_v2{symbols, "aclnnGeluV2", Presence::optional};
  Operator<T, T> silu{symbols, "aclnnSilu"};
  Operator<T, int64_t, T> swiglu{symbols, "aclnnSwiGlu"};
  Operator<T, int64_t, int64_t, bool, T, T> geglu{symbols, "aclnnGeGluV3"};
  Operator<T, T, T, int64_t, T> rope{symbols, "aclnnRotaryPositionEmbedding"};
  Operator<T, T, T, T> dynamic_quant{symbols, "aclnnDynamicQuant"};
  Operator<T, T, T, T, T, T, bool, bool, T> quant_matmul{symbols, "aclnnQuantMatmulV4"};
  Operator<T, T, T, T, T, T, T, int, T> weight_quant_matmul{symbols,
                                                            "aclnnWeightQuantBatchMatmulV2"};
  // Weights in FRACTAL_NZ.
  Function<AclStatus(T, int, int, int64_t**, uint64_t*, int*)> format_cast_shape{
      symbols, "aclnnNpuFormatCastCalculateSizeAndFormat", Presence::optional};
  Operator<T, T> format_cast{symbols, "aclnnNpuFormatCast", Presence::optional};
  Operator<T, T> pack_int4{symbols, "aclnnConvertWeightToINT4Pack", Presence::optional};
  Operator<T, T, T, int8_t> matmul_nz{symbols, "aclnnMatmulWeightNz", Presence::optional};
  Operator<T, T, T, T, T, T, T, T, T, bool, bool, int64_t, T> quant_matmul_nz{
      symbols, "aclnnQuantMatmulWeightNz", Presence::optional};
  // Operators that quantise what they make.
  Operator<T, T, T, T, T, double, T, T, T, T, T> add_rms_norm_quant{
      symbols, "aclnnAddRmsNormDynamicQuant", Presence::optional};
  Operator<T, T, T, T, T, T, T, bool, char*, T, T> dequant_swiglu_quant{
      symbols, "aclnnDequantSwigluQuant", Presence::optional};
  Operator<T, const AclTensorList*, const AclTensorList*, T, T, IntArray, IntArray, T, T, T, T, T,
           T, T, T, T, T, T, T, T, T, T, T, IntArray, int64_t, double, int64_t, int64_t, char*,
           int64_t, int64_t, int64_t, int64_t, int64_t, bool, int64_t, int64_t, T, T>
      attention{symbols, "aclnnFusedInferAttentionScoreV2"};
};

// The text of a failed call: operator or function, code, and the library's own words.
Error call_error(const Library& library, std::string_view what, AclStatus status);
// That error unless `status` is success.
Result<void> check(const Library& library, std::string_view what, AclStatus status);

}  // namespace lotse::ascend
