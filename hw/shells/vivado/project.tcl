# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes the project and its block design: processing system, cells of settings.tcl, their connections and addresses.
source [file join [file dirname [file normalize [info script]]] settings.tcl]

# What differs between the processing systems: core, rule, pins.
array set ps7 {
    core processing_system7 rule processing_system7 clock FCLK_CLK0 reset FCLK_RESET0_N irq IRQ_F2P
    control M_AXI_GP0 memory S_AXI_HP0 segments S_AXI_HP0 clocks {M_AXI_GP0_ACLK S_AXI_HP0_ACLK}
    automation {make_external "FIXED_IO, DDR" Master "Disable" Slave "Disable"}
}
array set psu {
    core zynq_ultra_ps_e rule zynq_ultra_ps_e clock pl_clk0 reset pl_resetn0 irq pl_ps_irq0
    control M_AXI_HPM0_FPD memory S_AXI_HP0_FPD segments SAXIGP2 clocks {maxihpm0_fpd_aclk saxihp0_fpd_aclk}
    automation {}
}
upvar #0 $bw_ps kind

create_project $bw_name [file join $bw_here project] -part $bw_part -force
set preset 0
if {$bw_board ne ""} {
    # Only for the pins and DRAM of the processing system, which the board's boot image sets up anyway.
    set found [get_board_parts -quiet -regexp -nocase "\[^:\]+:$bw_board:part0:.*"]
    if {[llength $found]} {
        set_property board_part [lindex $found end] [current_project]
        set preset 1
    } else {
        puts "bitwright: no board files for $bw_board; the processing system keeps Vivado's defaults for its own pins"
    }
}
set_property ip_repo_paths $bw_repositories [current_project]
update_ip_catalog -rebuild
create_bd_design $bw_name

# Processing system.
set ps "${kind(core)}_0"
create_bd_cell -type ip -vlnv xilinx.com:ip:$kind(core) $ps
apply_bd_automation -rule xilinx.com:bd_rule:$kind(rule) \
    -config [concat $kind(automation) [list apply_board_preset $preset]] [get_bd_cells $ps]
set_property -dict $bw_ps_config [get_bd_cells $ps]

# Cells, and what joins them.
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset_0
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control_0
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory_0
set clocks [list reset_0/slowest_sync_clk control_0/aclk memory_0/aclk]
set resets [list control_0/aresetn memory_0/aresetn]
foreach pin $kind(clocks) { lappend clocks $ps/$pin }
set controls {}
set masters {}
set spaces {}
set interrupts {}
foreach description $bw_cells {
    array unset cell
    array set cell $description
    create_bd_cell -type ip -vlnv $cell(vlnv) $cell(name)
    if {[llength $cell(config)]} { set_property -dict $cell(config) [get_bd_cells $cell(name)] }
    foreach pin $cell(clocks) { lappend clocks $cell(name)/$pin }
    foreach pin $cell(resets) { lappend resets $cell(name)/$pin }
    foreach pin $cell(interrupts) { lappend interrupts $cell(name)/$pin }
    foreach interface $cell(masters) { lappend masters $cell(name)/$interface }
    foreach space $cell(spaces) { lappend spaces $cell(name)/$space }
    if {$cell(control) ne ""} {
        lappend controls [list $cell(name)/$cell(control) $cell(name)/$cell(segment) $cell(base) $cell(size)]
    }
}
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI [llength $controls]] [get_bd_cells control_0]
set_property -dict [list CONFIG.NUM_SI [llength $masters] CONFIG.NUM_MI 1] [get_bd_cells memory_0]

connect_bd_net [get_bd_pins $ps/$kind(reset)] [get_bd_pins reset_0/ext_reset_in]
foreach pin $clocks { connect_bd_net [get_bd_pins $ps/$kind(clock)] [get_bd_pins $pin] }
foreach pin $resets { connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $pin] }

connect_bd_intf_net [get_bd_intf_pins $ps/$kind(control)] [get_bd_intf_pins control_0/S00_AXI]
set number 0
foreach control $controls {
    connect_bd_intf_net [get_bd_intf_pins control_0/[format M%02d_AXI $number]] [get_bd_intf_pins [lindex $control 0]]
    incr number
}
set number 0
foreach master $masters {
    connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins memory_0/[format S%02d_AXI $number]]
    incr number
}
connect_bd_intf_net [get_bd_intf_pins memory_0/M00_AXI] [get_bd_intf_pins $ps/$kind(memory)]
foreach stream $bw_streams {
    connect_bd_intf_net [get_bd_intf_pins [lindex $stream 0]] [get_bd_intf_pins [lindex $stream 1]]
}

# Interrupts: PYNQ finds them through an interrupt controller only.
create_bd_cell -type ip -vlnv xilinx.com:ip:xlconcat xlconcat_0
set_property CONFIG.NUM_PORTS [llength $interrupts] [get_bd_cells xlconcat_0]
set number 0
foreach pin $interrupts {
    connect_bd_net [get_bd_pins $pin] [get_bd_pins xlconcat_0/In$number]
    incr number
}
connect_bd_net [get_bd_pins xlconcat_0/dout] [get_bd_pins axi_intc_0/intr]
connect_bd_net [get_bd_pins axi_intc_0/irq] [get_bd_pins $ps/$kind(irq)]

# Addresses.
proc place {space segment base size} {
    set cells [list [lindex [split $space /] 0]/* [lindex [split $segment /] 0]/*]
    if {![llength [get_bd_addr_spaces -quiet $space]]} {
        error "no address space $space; there are [get_bd_addr_spaces -quiet [lindex $cells 0]]"
    }
    if {![llength [get_bd_addr_segs -quiet $segment]]} {
        error "no address segment $segment; there are [get_bd_addr_segs -quiet [lindex $cells 1]]"
    }
    assign_bd_address -offset $base -range $size -target_address_space [get_bd_addr_spaces $space] \
        [get_bd_addr_segs $segment] -force
}
foreach control $controls {
    lassign $control interface segment base size
    place $ps/Data $segment $base $size
}
foreach space $spaces {
    foreach range $bw_memory {
        lassign $range segment base size
        place $space $ps/$kind(segments)/$segment $base $size
    }
}

validate_bd_design
save_bd_design
set_property SYNTH_CHECKPOINT_MODE Hierarchical [get_files $bw_name.bd]
make_wrapper -files [get_files $bw_name.bd] -import -fileset sources_1 -top
update_compile_order -fileset sources_1
close_project
