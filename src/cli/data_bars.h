/* data_bars.h - `tenon data bench --plot`: bars side by side, as an SVG.
 *
 *     +---------------------- title ----------------------+
 *     |  panel 0: bytes read     |  panel 1: seconds      |     a bar a file, its value beside it
 *     |  panel 2                 |  panel 3               |
 *     +---------------------------------------------------+ */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_DATA_BARS_H
#define TN_CLI_DATA_BARS_H
#include "base/str.h"

enum { DATA_PANELS = 4, DATA_BARS_MAX = 8 };

typedef struct data_panel {
  const char *title;
  bool seconds; /* else bytes */
  double values[DATA_BARS_MAX];
} data_panel;

/* `labels` of the bars, the same in each panel. */
void data_bars_svg(const char *title, const char *const *labels, int32_t count,
                   const data_panel panels[DATA_PANELS], tn_strbuf *svg);

#endif
