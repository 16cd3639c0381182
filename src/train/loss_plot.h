/* loss_plot.h - the loss curves of a run as one SVG picture, without scripts or fonts of its own.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_LOSS_PLOT_H
#define TN_TRAIN_LOSS_PLOT_H
#include "train/loss_log.h"

/* Long curves are averaged to about one point a pixel; values that are not finite are left out. */
void tn_loss_plot_write(const tn_loss_curve *training, const tn_loss_curve *validation,
                        const char *title, tn_strbuf *svg);
#endif
