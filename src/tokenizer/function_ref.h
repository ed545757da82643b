// A callable passed down a call chain without owning it: one pointer and one indirect call.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace lotse {

template <class Signature>
class FunctionRef;

// The referred callable must outlive the FunctionRef, which holds for a lambda passed as argument.
template <class Out, class... In>
class FunctionRef<Out(In...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& callable)  // NOLINT: implicit on purpose, as std::function is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, In... in) -> Out {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<In>(in)...);
        }) {}

  Out operator()(In... in) const { return call_(object_, std::forward<In>(in)...); }

 private:
  void* object_;
  Out (*call_)(void*, In...);
};

}  // namespace lotse
