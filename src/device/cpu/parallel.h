// How row-wise and element-wise operators are split over threads.
#pragma once

#include "base/checked.h"
#include "base/thread_pool.h"

namespace lotse::cpu {

// Elements below which waking other threads costs more than it saves.
inline constexpr int64_t kSmallElements = 16384;
inline constexpr int64_t kColumnChunk = 1024;

// body(begin, end) on ranges of rows of `columns` elements.
template <class Body>
void over_rows(ThreadPool& pool, int64_t rows, int64_t columns, Body&& body) {
  if (rows * columns < kSmallElements) {
    if (rows > 0) body(int64_t{0}, rows);
  } else {
    pool.parallel_for(rows, 1, body);
  }
}

// body(row, first column, columns) on pieces of rows, for operators that treat elements alone.
template <class Body>
void over_elements(ThreadPool& pool, int64_t rows, int64_t columns, Body&& body) {
  const int64_t chunks = ceil_div(columns, kColumnChunk);
  over_rows(pool, rows * chunks, kColumnChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % chunks * kColumnChunk;
      const int64_t left = columns - first;
      body(i / chunks, first, left < kColumnChunk ? left : kColumnChunk);
    }
  });
}

}  // namespace lotse::cpu
