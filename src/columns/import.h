/* import.h - a stream that somebody else made, as this room's readers give them.
 *
 * Foreign batches are validated (columns/validate.h, UTF-8 too) before anybody looks into them, and
 * brought into the shape that writers here expect: the batch's own offset is 0, its slice is in the
 * children.  Thread: as a stream. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IMPORT_H
#define TN_COLUMNS_IMPORT_H
#include "columns/type.h"

/* Reads the schema; *in is moved, and released also on failure.  A schema that is no struct, and
 * batches with null rows, are TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_stream_import(ArrowArrayStream *out, ArrowArrayStream *in, tn_error *err);

#endif
