/* npy.h - a float32 matrix as a .npy file, for what people look at with NumPy. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_NPY_H
#define TN_CLI_NPY_H
#include <stdint.h>

#include "base/error.h"

TN_NODISCARD tn_status tn_npy_write(const char *path, const float *data, int64_t rows,
                                    int64_t columns, tn_error *err);
#endif
