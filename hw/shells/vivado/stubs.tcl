# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs a script of a build without Vivado: tclsh stubs.tcl SCRIPT. The stubs take the options that Vivado's commands
# have (UG835), know which cells exist and what pins and addresses they have, and refuse a pin that is driven twice, an
# interface that is joined twice, and addresses that overlap or are not aligned. A command that is not here is an error.
set stub_script [lindex $argv 0]
set argv [lrange $argv 1 end]
set stub_cells {}
set stub_cores {}
set stub_joined {}
set stub_ranges {}
namespace eval ipx {}

# stub_options ARGUMENTS {options that take a value} {flags}: the arguments that are left, options in ::stub_option.
proc stub_options {arguments valued flags} {
    set command [lindex [info level -1] 0]
    array unset ::stub_option
    set rest {}
    while {[llength $arguments]} {
        set word [lindex $arguments 0]
        set arguments [lrange $arguments 1 end]
        if {[string index $word 0] ne "-" || [string is double -strict $word]} {
            lappend rest $word
        } elseif {[lsearch -exact $valued $word] >= 0} {
            if {![llength $arguments]} { error "$command: option $word needs a value" }
            set ::stub_option($word) [lindex $arguments 0]
            set arguments [lrange $arguments 1 end]
        } elseif {[lsearch -exact $flags $word] >= 0} {
            set ::stub_option($word) 1
        } else {
            error "$command has no option $word"
        }
    }
    return $rest
}

# Commands without effect here: name, options with values, flags, least and most arguments.
foreach {stub_name stub_valued stub_flags stub_least stub_most} {
    create_project {-part} {-force -in_memory} 1 2      open_project {} {} 1 1          close_project {} {} 0 0
    add_files {-fileset} {-norecurse} 1 1               update_ip_catalog {} {-rebuild} 0 0
    update_compile_order {-fileset} {} 0 0              create_bd_design {} {} 1 1
    validate_bd_design {} {-force} 0 0                  save_bd_design {} {} 0 0
    reset_run {} {} 1 1                                 wait_on_run {-timeout} {} 1 1
    make_wrapper {-files -fileset} {-import -top} 0 0
    launch_runs {-jobs -to_step} {} 1 1                 open_run {} {} 1 1
    report_utilization {-file} {} 0 0                   report_timing_summary {-file} {} 0 0
    report_power {-file} {} 0 0
    ipx::package_project {-root_dir -vendor -library -taxonomy} {-import_files -force} 0 0
    ipx::associate_bus_interfaces {-busif -clock} {} 1 1 ipx::create_xgui_files {} {} 1 1
    ipx::update_checksums {} {} 1 1                     ipx::check_integrity {} {} 1 1  ipx::save_core {} {} 1 1
} {
    proc $stub_name {args} [format {
        set rest [stub_options $args {%s} {%s}]
        if {[llength $rest] < %d || [llength $rest] > %d} { error "[lindex [info level 0] 0]: arguments {$rest}" }
    } $stub_valued $stub_flags $stub_least $stub_most]
}

# Objects are their names.
foreach stub_name {get_files get_runs} {
    proc $stub_name {args} { return [lindex [stub_options $args {-of_objects} {-quiet}] 0] }
}
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc ipx::current_core {} { return core }
proc ipx::get_bus_interfaces {args} { return [lindex [stub_options $args {-of_objects} {}] 0] }
# There is one board file, whose name is written in capitals.
proc get_board_parts {args} {
    set pattern [lindex [stub_options $args {} {-quiet -regexp -nocase}] 0]
    return [expr {[regexp -nocase "^$pattern\$" vendor.com:ZCU104:part0:1.1] ? "vendor.com:ZCU104:part0:1.1" : ""}]
}
proc get_property {name object} {
    return [expr {$name eq "PROGRESS" ? "100%" : "$name of $object"}]
}
proc set_property {args} {
    set rest [stub_options $args {-dict} {}]
    if {[info exists ::stub_option(-dict)]} {
        if {[llength $::stub_option(-dict)] % 2} {
            error "set_property: a name without a value: $::stub_option(-dict)"
        }
        if {[llength $rest] != 1} { error "set_property -dict: one object, not {$rest}" }
    } elseif {[llength $rest] != 3} {
        error "set_property: name, value and object, not {$rest}"
    }
}

# The block design.
proc create_bd_cell {args} {
    set name [lindex [stub_options $args {-type -vlnv} {}] 0]
    if {![regexp {^[\w.]+(:[\w.]+){2,3}$} $::stub_option(-vlnv)]} {
        error "create_bd_cell: -vlnv $::stub_option(-vlnv)"
    }
    if {[lsearch -exact $::stub_cells $name] >= 0} { error "create_bd_cell: there is a cell $name already" }
    lappend ::stub_cells $name
    lappend ::stub_cores [lindex [split $::stub_option(-vlnv) :] 2]
    puts "cell $name $::stub_option(-vlnv)"
    return $name
}
proc apply_bd_automation {args} {
    stub_options $args {-rule -config} {}
    if {[llength $::stub_option(-config)] % 2} { error "apply_bd_automation: -config $::stub_option(-config)" }
}
# Pins and interfaces, address spaces, address segments of the cores in use; of other cores anything is taken.
array set stub_core {
    processing_system7 {
        {FCLK_CLK0 FCLK_RESET0_N IRQ_F2P M_AXI_GP0 M_AXI_GP0_ACLK S_AXI_HP0 S_AXI_HP0_ACLK}
        Data S_AXI_HP0/HP0_DDR_LOWOCM}
    zynq_ultra_ps_e {
        {pl_clk0 pl_resetn0 pl_ps_irq0 M_AXI_HPM0_FPD maxihpm0_fpd_aclk S_AXI_HP0_FPD saxihp0_fpd_aclk}
        Data {SAXIGP2/HP0_DDR_LOW SAXIGP2/HP0_DDR_HIGH}}
    proc_sys_reset {{slowest_sync_clk ext_reset_in peripheral_aresetn} {} {}}
    smartconnect {{aclk aresetn S[0-9][0-9]_AXI M[0-9][0-9]_AXI} {} {}}
    xlconcat {{In[0-9]* dout} {} {}}
    axi_intc {{s_axi s_axi_aclk s_axi_aresetn intr irq} {} S_AXI/Reg}
    axi_dma {
        {S_AXI_LITE s_axi_lite_aclk M_AXI_MM2S m_axi_mm2s_aclk M_AXI_S2MM m_axi_s2mm_aclk axi_resetn M_AXIS_MM2S
         S_AXIS_S2MM mm2s_introut s2mm_introut} {Data_MM2S Data_S2MM} S_AXI_LITE/Reg}
    bw_engine {{clk_i rst_ni irq_o s_axil m_axi} m_axi s_axil/reg0}
}
# What stub_core says of a cell: 0 pins, 1 spaces, 2 segments; * for cores that it does not know.
proc stub_has {name which} {
    set k [lsearch -exact $::stub_cells $name]
    if {$k < 0} { error "there is no cell $name" }
    set core [lindex $::stub_cores $k]
    return [expr {[info exists ::stub_core($core)] ? [lindex $::stub_core($core) $which] : "*"}]
}
proc stub_known {path which} {
    set name [lindex [split $path /] 0]
    set rest [join [lrange [split $path /] 1 end] /]
    foreach pattern [stub_has $name $which] {
        if {[string match $pattern $rest]} { return $path }
    }
    return {}
}
proc stub_pin {path} {
    if {[stub_known $path 0] eq ""} {
        set name [lindex [split $path /] 0]
        set core [lindex $::stub_cores [lsearch -exact $::stub_cells $name]]
        error "$core has no [join [lrange [split $path /] 1 end] /]"
    }
    return $path
}
proc stub_find {which arguments} {
    set path [lindex $arguments 0]
    if {[string index $path end] ne "*"} { return [stub_known $path $which] }
    return [stub_has [lindex [split $path /] 0] $which]
}
proc get_bd_cells {name} { stub_has $name 0; return $name }
proc get_bd_pins {path} { return [stub_pin $path] }
proc get_bd_intf_pins {path} { return [stub_pin $path] }
proc get_bd_addr_spaces {args} { return [stub_find 1 [stub_options $args {} {-quiet}]] }
proc get_bd_addr_segs {args} { return [stub_find 2 [stub_options $args {} {-quiet}]] }
proc stub_join {kind from to ends} {
    foreach end $ends {
        if {[lsearch -exact $::stub_joined $end] >= 0} { error "$kind: $end is connected already" }
        lappend ::stub_joined $end
    }
    puts "$kind $from $to"
}
proc connect_bd_net {from to} { stub_join net $from $to [list $to] }
proc connect_bd_intf_net {from to} { stub_join bus $from $to [list $from $to] }
proc assign_bd_address {args} {
    set segment [lindex [stub_options $args {-offset -range -target_address_space} {-force}] 0]
    set space $::stub_option(-target_address_space)
    set size [expr {$::stub_option(-range)}]
    set base [expr {$::stub_option(-offset)}]
    if {$size & ($size - 1)} { error "assign_bd_address: range $size of $segment is no power of two" }
    if {$base % $size} { error "assign_bd_address: $segment at [format %#x $base] is not aligned to its range" }
    foreach {other low high} $::stub_ranges {
        if {$other eq $space && $base <= $high && $base + $size > $low} {
            error "assign_bd_address: $segment at [format %#x $base] overlaps another in $space"
        }
    }
    lappend ::stub_ranges $space $base [expr {$base + $size - 1}]
    puts "address $space $segment [format %#x $base] [format %#x $size]"
}

# Files that only a real run makes.
rename file stub_file
proc file {command args} {
    if {[lsearch -exact {copy mkdir} $command] >= 0} { puts "file $command $args"; return }
    return [uplevel 1 [list stub_file $command {*}$args]]
}
rename glob stub_glob
proc glob {args} {
    if {[catch {uplevel 1 [list stub_glob {*}$args]} found]} { return [list [lindex $args end]] }
    return $found
}

source $stub_script
puts "$stub_script: ok"
