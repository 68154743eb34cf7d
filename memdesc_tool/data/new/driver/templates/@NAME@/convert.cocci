// An example that does something on every tree: put the interface at hand in its place.
@@
@@
- __get_free_page(GFP_KERNEL | __GFP_ZERO)
+ get_zeroed_page(GFP_KERNEL)
