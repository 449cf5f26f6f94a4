# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Packages the engine (rtl/) as the core bitwright:engine:bw_engine:1.0 in ip/.
source [file join [file dirname [file normalize [info script]]] settings.tcl]

create_project package [file join $bw_here package] -part $bw_part -force
set sources [glob -directory [file join $bw_here rtl] *.sv *.svh *.v]
add_files -norecurse $sources
foreach header [glob -directory [file join $bw_here rtl] *.svh] {
    set_property is_global_include false [get_files $header]
    set_property file_type {Verilog Header} [get_files $header]
}
set_property include_dirs [file join $bw_here rtl] [current_fileset]
set_property top bw_engine_top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir [file join $bw_here ip] -vendor bitwright -library engine -taxonomy /UserIP \
    -import_files -force
set core [ipx::current_core]
set_property name bw_engine $core
set_property version 1.0 $core
set_property display_name {bitwright engine} $core
set_property supported_families {zynq Production zynquplus Production zynquplusRFSOC Production} $core
foreach interface {s_axil m_axi} {
    if {[llength [ipx::get_bus_interfaces $interface -of_objects $core]] != 1} {
        error "the packager did not find the interface $interface of bw_engine_top"
    }
    ipx::associate_bus_interfaces -busif $interface -clock clk_i $core
}
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
