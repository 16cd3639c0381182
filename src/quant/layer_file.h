/* layer_file.h - one quantized layer in a file of its own, exactly as it is in memory.
 *
 *     <parameter>.codes    int8 [rows, columns] of a linear on the grid
 *     <parameter>.scales   int32 [rows, groups, 2]: the bits of the scale, the zero
 *     <parameter>.values   float32 [elements] of what took scales from a linear: norms, biases
 *
 * A safetensors file with a checksum of every tensor.  Its metadata say which layer it is, and of
 * which run.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_LAYER_FILE_H
#define TN_QUANT_LAYER_FILE_H
#include "model/safetensors.h"
#include "quant/layer_weights.h"
#include "quant/quantize.h"

/* Writes what q holds of the tensors of the layer; durable when it returns. */
TN_NODISCARD tn_status tn_layer_file_write(const char *path, const char *run,
                                           const tn_layer_weights *layer, const tn_quantized *q,
                                           tn_error *err);

typedef struct tn_layer_file { /* all zero is valid and empty */
  const char *path;
  tn_safetensors *file;
} tn_layer_file;

/* Checks every sum.  `path` must outlive the file. */
TN_NODISCARD tn_status tn_layer_file_open(tn_layer_file *out, const char *path, const char *run,
                                          int64_t layer, tn_error *err);
void tn_layer_file_close(tn_layer_file *f);
/* Fills codes and scales of a matrix that has been made for its grid and shape; what cannot be on
 * that grid is TN_ERR_DATA. */
TN_NODISCARD tn_status tn_layer_file_matrix(const tn_layer_file *f, const char *name,
                                            tn_grid_matrix *m, tn_error *err);
/* *found: false where the file has no values of that name, and out stays as it is. */
TN_NODISCARD tn_status tn_layer_file_values(const tn_layer_file *f, const char *name, float *out,
                                            int64_t count, bool *found, tn_error *err);
#endif
