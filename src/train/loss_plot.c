/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_plot.h"

#include <math.h>

enum { WIDTH = 760, HEIGHT = 440, LEFT = 70, RIGHT = 20, TOP = 44, BOTTOM = 54 };
enum { PLOT_WIDTH = WIDTH - LEFT - RIGHT, PLOT_HEIGHT = HEIGHT - TOP - BOTTOM };
static const char train_colour[] = "#8fb4d9", validation_colour[] = "#c0392b";

typedef struct axis {
  double min, max, tick;
} axis;

typedef struct plot {
  axis x, y;
  tn_strbuf *svg;
} plot;

/* 1, 2 or 5 times a power of ten, so that about `count` ticks fit. */
static double nice_tick(double span, int count) {
  double raw = span / count, power = pow(10, floor(log10(raw))), ratio = raw / power;
  return power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}

static axis make_axis(double min, double max, int ticks) {
  if (!(max > min)) max = min + 1;
  double tick = nice_tick(max - min, ticks);
  return (axis){floor(min / tick) * tick, ceil(max / tick) * tick, tick};
}

static void widen(const tn_loss_curve *curve, double *min, double *max) {
  for (size_t i = 0; i < curve->count; i++) {
    double loss = curve->points[i].loss;
    if (!isfinite(loss)) continue;
    if (loss < *min) *min = loss;
    if (loss > *max) *max = loss;
  }
}

static double last_step(const tn_loss_curve *curve) {
  return curve->count ? (double)curve->points[curve->count - 1].step : 0;
}

static double x_of(const plot *p, double step) {
  return LEFT + PLOT_WIDTH * (step - p->x.min) / (p->x.max - p->x.min);
}
static double y_of(const plot *p, double loss) {
  return TOP + PLOT_HEIGHT * (p->y.max - loss) / (p->y.max - p->y.min);
}

static void draw_ticks(const plot *p) {
  for (int i = 0; p->x.min + i * p->x.tick <= p->x.max * 1.0001; i++) {
    double step = p->x.min + i * p->x.tick, x = x_of(p, step);
    tn_strbuf_addf(p->svg,
                   "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"grid\"/>"
                   "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                   x, TOP, x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, step);
  }
  for (int i = 0; p->y.min + i * p->y.tick <= p->y.max * 1.0001; i++) {
    double loss = p->y.min + i * p->y.tick, y = y_of(p, loss);
    tn_strbuf_addf(p->svg,
                   "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"grid\"/>"
                   "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                   LEFT, y, WIDTH - RIGHT, y, LEFT - 8, y + 4, loss);
  }
}

static void draw_frame(const plot *p, const char *title) {
  tn_strbuf_addf(p->svg,
                 "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" "
                 "stroke=\"#444\"/>\n",
                 LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
  tn_strbuf_addf(p->svg, "<text x=\"%d\" y=\"26\" font-size=\"16\">", LEFT);
  for (const char *c = title; *c; c++) {
    if (*c == '<' || *c == '>' || *c == '&')
      tn_strbuf_addf(p->svg, "&#%d;", *c);
    else
      tn_strbuf_add_char(p->svg, *c);
  }
  tn_strbuf_addf(p->svg,
                 "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n"
                 "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">"
                 "loss (nats a token)</text>\n",
                 LEFT + PLOT_WIDTH / 2, HEIGHT - 14, TOP + PLOT_HEIGHT / 2);
}

/* One point for every `stride` of the curve: their mean loss at their last step. */
static void draw_line(const plot *p, const tn_loss_curve *curve, const char *colour, double width) {
  size_t stride = curve->count / PLOT_WIDTH + 1;
  tn_strbuf_addf(p->svg, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" points=\"",
                 colour, width);
  for (size_t start = 0; start < curve->count; start += stride) {
    double sum = 0;
    int64_t finite = 0, step = 0;
    for (size_t i = start; i < curve->count && i < start + stride; i++) {
      if (!isfinite(curve->points[i].loss)) continue;
      sum += curve->points[i].loss;
      step = curve->points[i].step;
      finite++;
    }
    if (finite)
      tn_strbuf_addf(p->svg, "%.1f,%.1f ", x_of(p, (double)step), y_of(p, sum / (double)finite));
  }
  tn_strbuf_add(p->svg, "\"/>\n");
}

static void draw_dots(const plot *p, const tn_loss_curve *curve) {
  if (curve->count > 200) return;
  for (size_t i = 0; i < curve->count; i++)
    if (isfinite(curve->points[i].loss))
      tn_strbuf_addf(p->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                     x_of(p, (double)curve->points[i].step), y_of(p, curve->points[i].loss),
                     validation_colour);
}

static void draw_key(const plot *p, int row, const char *name, const char *colour,
                     const tn_loss_curve *curve) {
  if (curve->count == 0) return;
  int x = WIDTH - RIGHT - 190, y = TOP + 22 + 20 * row;
  tn_strbuf_addf(p->svg,
                 "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" "
                 "stroke-width=\"3\"/><text x=\"%d\" y=\"%d\">%s, last %.3f</text>\n",
                 x, y - 4, x + 24, y - 4, colour, x + 32, y, name,
                 curve->points[curve->count - 1].loss);
}

void tn_loss_plot_write(const tn_loss_curve *training, const tn_loss_curve *validation,
                        const char *title, tn_strbuf *svg) {
  double min = INFINITY, max = -INFINITY;
  widen(training, &min, &max);
  widen(validation, &min, &max);
  if (!isfinite(min)) min = 0, max = 1;
  plot p = {
      .x = make_axis(0, fmax(last_step(training), last_step(validation)), 8),
      .y = make_axis(min, max, 7),
      .svg = svg,
  };
  tn_strbuf_addf(svg,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                 "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                 "<style>.grid{stroke:#e4e4e4}</style>\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                 WIDTH, HEIGHT, WIDTH, HEIGHT);
  draw_ticks(&p);
  draw_frame(&p, title);
  draw_line(&p, training, train_colour, 1.5);
  draw_line(&p, validation, validation_colour, 2);
  draw_dots(&p, validation);
  draw_key(&p, 0, "training", train_colour, training);
  draw_key(&p, 1, "validation", validation_colour, validation);
  tn_strbuf_add(svg, "</svg>\n");
}
