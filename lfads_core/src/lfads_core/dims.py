"""One alphabet for every shape in the project; signatures use these letters and nothing else.

======  =============================================  ======  ==========================================
B       trials in a batch                              G       generator state
T       bins that are reconstructed                    H       controller state
Te      bins that the encoders see (Te <= T)           F       factors
N       channels that are reconstructed                P       parameters per channel of a reconstruction
Ne      channels that the encoders see (Ne <= N)       S       posterior samples
D       width after the read-in                        M       population members (always the first axis)
I       initial condition                              E       external inputs
C       encoder state (one direction)                  U       inferred inputs
======  =============================================  ======  ==========================================

Random draws, masks and weights obey the same letters. Where functions say ``...`` a leading population axis M may stand.
"""
