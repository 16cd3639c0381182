/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/data_bars.h"

enum { WIDTH = 860, MARGIN = 24, TOP = 56, GAP = 28, HEAD = 26, BAR = 20, STEP = 44 };
enum { PANEL = (WIDTH - 2 * MARGIN - GAP) / 2, VALUE_ROOM = 84, LABEL_CHARS = 44 };
/* Row layouts and column layouts stand apart by colour where there are two; then a quiet cycle. */
static const char *const colours[] = {"#c0392b", "#2e6da4", "#3d9970", "#8e6bb0"};

static void add_text(tn_strbuf *svg, const char *text, int32_t chars) {
  for (const char *c = text; *c && chars != 0; c++) {
    if (((unsigned char)*c & 0xC0) != 0x80) chars--;
    if (*c == '<' || *c == '>' || *c == '&' || *c == '"' || (unsigned char)*c < 32)
      tn_strbuf_addf(svg, "&#%d;", (unsigned char)*c < 32 ? ' ' : *c);
    else
      tn_strbuf_add_char(svg, *c);
  }
}

/* The end of a path says most. */
static const char *label_of(const char *path) {
  size_t length = strlen(path);
  const char *from = length > LABEL_CHARS ? path + length - LABEL_CHARS : path;
  while (((unsigned char)*from & 0xC0) == 0x80) from++;
  return from;
}

static void draw_bar(tn_strbuf *svg, const data_panel *p, const char *label, int32_t bar, int32_t x,
                     int32_t y, double most) {
  double value = p->values[bar];
  double length = most > 0 ? (PANEL - VALUE_ROOM) * value / most : 0;
  tn_strbuf_addf(svg, "<text x=\"%d\" y=\"%d\" fill=\"#555\">", x + 6, y - 4);
  add_text(svg, label_of(label), LABEL_CHARS);
  tn_strbuf_addf(svg,
                 "</text>\n<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" "
                 "fill=\"%s\"/>\n<text x=\"%.1f\" y=\"%d\">",
                 x, y, length > 1 ? length : 1, BAR, colours[bar % 4], x + length + 6, y + BAR - 6);
  if (p->seconds)
    tn_strbuf_add_duration_human(svg, value);
  else
    tn_strbuf_add_bytes_human(svg, value);
  tn_strbuf_add(svg, "</text>\n");
}

static void draw_panel(tn_strbuf *svg, const data_panel *p, const char *const *labels,
                       int32_t count, int32_t x, int32_t y) {
  double most = 0;
  for (int32_t i = 0; i < count; i++)
    if (p->values[i] > most) most = p->values[i];
  tn_strbuf_addf(svg, "<text x=\"%d\" y=\"%d\" font-size=\"14\" font-weight=\"bold\">", x, y + 12);
  add_text(svg, p->title, -1);
  tn_strbuf_add(svg, "</text>\n");
  for (int32_t i = 0; i < count; i++)
    draw_bar(svg, p, labels[i], i, x, y + HEAD + 18 + i * STEP, most);
  tn_strbuf_addf(svg, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#444\"/>\n", x,
                 y + HEAD + 2, x, y + HEAD + 2 + count * STEP);
}

void data_bars_svg(const char *title, const char *const *labels, int32_t count,
                   const data_panel panels[DATA_PANELS], tn_strbuf *svg) {
  int32_t panel_height = HEAD + count * STEP + GAP, height = TOP + 2 * panel_height;
  tn_strbuf_addf(svg,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                 "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                 "<text x=\"%d\" y=\"30\" font-size=\"16\">",
                 WIDTH, height, WIDTH, height, MARGIN);
  add_text(svg, title, 100);
  tn_strbuf_add(svg, "</text>\n");
  for (int32_t p = 0; p < DATA_PANELS; p++)
    draw_panel(svg, &panels[p], labels, count, MARGIN + p % 2 * (PANEL + GAP),
               TOP + p / 2 * panel_height);
  tn_strbuf_add(svg, "</svg>\n");
}
