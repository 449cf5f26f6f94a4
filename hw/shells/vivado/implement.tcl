# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Places and routes the project, writes the bitstream and the reports.
source [file join [file dirname [file normalize [info script]]] settings.tcl]

open_project [file join $bw_here project $bw_name.xpr]
reset_run impl_1
launch_runs impl_1 -to_step write_bitstream -jobs $bw_jobs
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "impl_1 did not finish: [get_property STATUS [get_runs impl_1]]"
}
open_run impl_1
foreach folder {reports result} { file mkdir [file join $bw_here $folder] }
report_utilization -file [file join $bw_here reports utilization.rpt]
report_timing_summary -file [file join $bw_here reports timing.rpt]
report_power -file [file join $bw_here reports power.rpt]
set runs [file join $bw_here project $bw_name.runs impl_1]
file copy -force [file join $runs ${bw_name}_wrapper.bit] [file join $bw_here result $bw_name.bit]
# Vivado 2020.2 and later keep what they generate in .gen, earlier ones in .srcs.
set handoff [glob [file join $bw_here project $bw_name.{gen,srcs} sources_1 bd $bw_name hw_handoff $bw_name.hwh]]
file copy -force [lindex $handoff 0] [file join $bw_here result $bw_name.hwh]
close_project
