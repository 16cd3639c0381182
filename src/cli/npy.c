/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

/* NumPy's format 1.0: magic, version, header length, a Python dict, padded so that data is aligned.
 */
tn_status tn_npy_write(const char *path, const float *data, int64_t rows, int64_t columns,
                       tn_error *err) {
  char header[128];
  enum { PREFIX = 10 };
  memcpy(header, "\x93NUMPY\x01\x00\x76\x00", PREFIX); /* 118 bytes follow */
  int used =
      snprintf(header + PREFIX, sizeof header - PREFIX,
               "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
               rows, columns);
  memset(header + PREFIX + used, ' ', sizeof header - PREFIX - (size_t)used);
  header[sizeof header - 1] = '\n';
  tn_sink *sink;
  TN_TRY(tn_sink_open_file(&sink, path, err));
  tn_status status = tn_sink_write(sink, header, sizeof header, err);
  if (status == TN_OK)
    status = tn_sink_write(sink, data, (size_t)(rows * columns) * sizeof(float), err);
  if (status == TN_OK) status = tn_sink_commit(sink, err);
  tn_sink_close(sink);
  return status;
}
