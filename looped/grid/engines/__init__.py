"""Who trains the groups of a grid: worker processes of this machine, or Ray on several."""
