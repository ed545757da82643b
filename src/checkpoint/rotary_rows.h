// The order of query and key rows in llama.cpp's and llama2.c's files.
#pragma once

#include "base/result.h"
#include "tensor/tensor.h"

namespace lotse {

// Those programs rotate neighbouring rows (2j, 2j + 1) of a head, Hugging Face rows j and j + half:
// row 2j + part of a stored head becomes row part · half + j, in a new buffer. Whole rows move, so
// block formats do as well. The first dimension must be a positive multiple of 2 · heads.
Result<Tensor> restore_rotary_rows(const Tensor& stored, int64_t heads);

}  // namespace lotse
