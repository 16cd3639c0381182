/* cmd_model.h - the subcommands of `tenon model` that run the model. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_CMD_MODEL_H
#define TN_CLI_CMD_MODEL_H

int tn_cmd_model_logits(int argc, char **argv);
int tn_cmd_model_grads(int argc, char **argv);
int tn_cmd_model_embed(int argc, char **argv);    /* cmd_model_embed.c */
int tn_cmd_model_export(int argc, char **argv);   /* cmd_model_export.c */
int tn_cmd_model_rerank(int argc, char **argv);   /* cmd_model_embed.c */
int tn_cmd_model_inspect(int argc, char **argv);  /* cmd_model_inspect.c */
int tn_cmd_model_template(int argc, char **argv); /* cmd_model_template.c */
int tn_cmd_model_weight(int argc, char **argv);   /* cmd_model_weight.c */

#endif
