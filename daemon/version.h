/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#define DROPSCOPE_VERSION "0.1.0"
