/* unfinished.h - the layers of a quantization that are done, on disk, so that a run that was
 * stopped at any moment can go on.
 *
 *     OUT.unfinished/run.json              what is done, with what, to what: written first
 *                    layer-0.safetensors   one behind the other, each as soon as its layer is done
 *                    layer-1.safetensors   (layer_file.h), durable before the next layer begins
 *                    model/                the result, while it is written (cli/model_folder.h)
 *
 * A file has its name when it is whole, so what lies there after a kill or on a full disk is a
 * number of whole layers.  One process has the folder at a time (flock on it).
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_UNFINISHED_H
#define TN_QUANT_UNFINISHED_H
#include "model/weight_source.h"
#include "quant/quantize.h"

/* Appends what a run is known by, as a JSON object of strings: options, the model's content, the
 * samples, the kernels.  Two runs of which it is the same give the same bits.  Reads the model's
 * files whole. */
TN_NODISCARD tn_status tn_unfinished_describe(tn_strbuf *out, const tn_quantize_options *options,
                                              const tn_weight_source *source,
                                              const tn_calibration_text *text, tn_error *err);

/* TN_ERR_EXISTS when the folder is there, with the number of layers that are done. */
TN_NODISCARD tn_status tn_unfinished_check(const char *folder, tn_error *err);
/* Makes the folder for a run that `about` describes.  One that is there already is TN_ERR_EXISTS
 * without `resume`, or while another process has it; TN_ERR_ARGUMENT when it is of another run,
 * which names what differs; TN_ERR_DATA when anything else is in it. */
TN_NODISCARD tn_status tn_unfinished_open(tn_unfinished **out, const char *folder, tn_str about,
                                          bool resume, tn_error *err);
/* NULL is fine.  Layers stay for the next run; without any the folder goes, and its parents as far
 * as they were made for it. */
void tn_unfinished_close(tn_unfinished *u);
/* Removes the folder; close comes afterwards. */
TN_NODISCARD tn_status tn_unfinished_remove(tn_unfinished *u, tn_error *err);

const char *tn_unfinished_run(const tn_unfinished *u); /* a hash of `about`, in digits */
int64_t tn_unfinished_layers(const tn_unfinished *u);  /* that are done by now */
int64_t tn_unfinished_resumed(const tn_unfinished *u); /* that were when it was opened */
/* The file of a layer. */
TN_NODISCARD tn_status tn_unfinished_path(const tn_unfinished *u, int64_t layer, tn_strbuf *out,
                                          tn_error *err);
/* The file of the next layer is there. */
void tn_unfinished_count(tn_unfinished *u);
#endif
