# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Synthesizes the project.
source [file join [file dirname [file normalize [info script]]] settings.tcl]

open_project [file join $bw_here project $bw_name.xpr]
reset_run synth_1
launch_runs synth_1 -jobs $bw_jobs
wait_on_run synth_1
if {[get_property PROGRESS [get_runs synth_1]] ne "100%"} {
    error "synth_1 did not finish: [get_property STATUS [get_runs synth_1]]"
}
file mkdir [file join $bw_here reports]
open_run synth_1
report_utilization -file [file join $bw_here reports synth_utilization.rpt]
close_project
