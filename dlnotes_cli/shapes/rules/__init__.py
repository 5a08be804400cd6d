"""The layers, one file for each family: each rule maps a layer's arguments and input shape to its LayerInfo."""
