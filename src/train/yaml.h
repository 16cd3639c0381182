/* yaml.h - the scalars of a YAML mapping of mappings, one by one, with their lines.
 *
 *     optimizer:            visit("optimizer.lr", "0.001", line 2)
 *       lr: 0.001
 *
 * What a configuration needs and no more: one document, mappings with scalar keys, scalar values.
 * Lists, a second document, a key written twice and broken YAML are TN_ERR_DATA naming file and
 * line. libyaml reads the syntax; only this file knows it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_YAML_H
#define TN_TRAIN_YAML_H
#include "base/str.h"

enum { TN_YAML_PATH_BYTES = 160, TN_YAML_DEPTH_MAX = 8 };

typedef struct tn_yaml_scalar {
  const char *path; /* keys joined by dots; valid during the visit, like text */
  tn_str text;
  bool quoted; /* 'x' and "x" are text even when they look like a number */
  int32_t line;
} tn_yaml_scalar;

typedef tn_status (*tn_yaml_visit)(void *context, const tn_yaml_scalar *scalar, tn_error *err);

/* `name` is the file in messages.  A visit's error ends the walk and is returned. */
TN_NODISCARD tn_status tn_yaml_walk(const char *name, tn_str text, tn_yaml_visit visit,
                                    void *context, tn_error *err);
#endif
